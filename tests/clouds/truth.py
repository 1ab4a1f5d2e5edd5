"""What the clouds' own descriptions say of an answer: Google's discovery documents, the models of Azure's SDK."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient

from tests.clouds import fields

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}
NUMBERS = {"int64": r"-?\d{1,19}", "uint64": r"\d{1,20}"}  # Google writes them in quotes


@cache
def discovery(name: str) -> dict[str, Any]:
    """A discovery document: "compute.v1", "container.v1"."""
    found: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.json").read_text())
    return found


def google_faults(document: dict[str, Any], schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """Where a JSON value is not what its schema allows."""
    if "$ref" in schema:
        yield from google_faults(document, document["schemas"][schema["$ref"]], value, path)
        return
    kind = schema.get("type", "any")
    if kind == "any":
        return
    if not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {kind}"
    elif kind == "array":
        for number, each in enumerate(value):
            yield from google_faults(document, schema["items"], each, f"{path}[{number}]")
    elif kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, inside in value.items():
            if key in known or others is not None:
                yield from google_faults(document, known.get(key, others), inside, f"{path}.{key}")
            else:
                yield f"{path}.{key}: unknown"
    elif kind == "string":
        if "enum" in schema and value not in schema["enum"]:
            yield f"{path}: {value!r} is none of {schema['enum']}"
        if schema.get("format") in NUMBERS and not re.fullmatch(NUMBERS[schema["format"]], value):
            yield f"{path}: {value!r} is no {schema['format']}"


def google_method(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """The API's method that this request calls."""

    def every(resources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for resource in resources.values():
            yield from resource.get("methods", {}).values()
            yield from every(resource.get("resources", {}))

    for found in every(document["resources"]):
        template = document["servicePath"] + found.get("flatPath", found["path"])
        pattern = "/" + re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template))
        if found["httpMethod"] == method and re.fullmatch(pattern, path):
            return found
    return None


def request_faults(document: dict[str, Any], seen: Mapping[str, Any]) -> Iterator[str]:
    """What the API's description does not know of a request."""
    method = google_method(document, seen["method"], seen["path"])
    if method is None:
        yield f"{seen['method']} {seen['path']}: no such method"
        return
    known = {*method.get("parameters", {}), *document["parameters"], *(f"${key}" for key in document["parameters"])}
    for key, value in seen["query"]:
        if key not in known and f"`{key}`" not in method["description"]:
            yield f"{seen['path']}?{key}: no such parameter"
        if key in ("fields", "$fields"):
            yield from field_faults(document, method["response"], fields.parse(value))


def field_faults(
    document: dict[str, Any], schema: Mapping[str, Any], tree: fields.Tree, path: str = ""
) -> Iterator[str]:
    """Fields that a partial response asks for and its schema does not have."""
    while "$ref" in schema or schema.get("type") == "array":
        schema = document["schemas"][schema["$ref"]] if "$ref" in schema else schema["items"]
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, below in tree.items():
        inner = known.get(name, others)
        if inner is None and name != "*":
            yield f"{path}/{name}: no such field"
        else:
            yield from field_faults(document, inner or {}, below, f"{path}/{name}")


def azure_faults(model: Any, value: Any, path: str = "") -> Iterator[str]:
    """Keys of a JSON value that the SDK's model (read from it) does not know."""
    if isinstance(value, list):
        for number, (inner, each) in enumerate(zip(model, value, strict=True)):
            yield from azure_faults(inner, each, f"{path}[{number}]")
    elif isinstance(value, dict) and hasattr(model, "_attr_to_rest_field"):
        fields = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
        for key, inside in value.items():
            if key in fields:
                yield from azure_faults(getattr(model, fields[key]), inside, f"{path}.{key}")
            else:
                yield f"{path}.{key}: unknown"
