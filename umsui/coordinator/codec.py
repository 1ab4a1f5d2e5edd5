"""The model's dataclasses from JSON, cheap to import: the console and the CLI pay for it at every start."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(shape: type[T], data: Any) -> T:
    """``data`` (parsed JSON) as ``shape``; keys that the shape has not are left out. Raises ValueError, TypeError."""
    result: T = _decode(shape, data)
    return result


@cache
def _hints(shape: type[Any]) -> dict[str, Any]:
    return get_type_hints(shape)


def _decode(shape: Any, data: Any) -> Any:
    if is_dataclass(shape) and isinstance(shape, type):
        hints = _hints(shape)
        return shape(**{f.name: _decode(hints[f.name], data[f.name]) for f in fields(shape) if f.name in data})
    if isinstance(shape, type) and issubclass(shape, Enum):
        return shape(data)
    if get_origin(shape) is not None:
        return _decode_generic(get_origin(shape), get_args(shape), data)
    return float(data) if shape is float else data


def _decode_generic(origin: Any, arguments: tuple[Any, ...], data: Any) -> Any:
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        return _decode(next(each for each in arguments if each is not type(None)), data)
    if origin is tuple:
        inner = arguments if Ellipsis not in arguments else (arguments[0],) * len(data)
        return tuple(_decode(each, item) for each, item in zip(inner, data, strict=True))
    if issubclass(origin, Mapping):
        return {key: _decode(arguments[1], value) for key, value in data.items()}
    return [_decode(arguments[0], item) for item in data]


def encode(value: Any) -> Any:
    """The reverse: dataclasses as objects, enums as their values, tuples and sets as lists."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(item) for item in value]
    return value
