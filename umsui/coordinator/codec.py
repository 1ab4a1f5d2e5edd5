"""The model's dataclasses from JSON, cheap to import: the console and the CLI pay for it at every start."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


Reader = Callable[[Any], Any]


def decode(shape: type[T], data: Any) -> T:
    """``data`` (parsed JSON) as ``shape``; keys that the shape has not are left out. Raises ValueError, TypeError."""
    reader = _reader(shape)  # type: ignore[arg-type]
    result: T = data if reader is None else reader(data)
    return result


@cache
def _reader(shape: Any) -> Reader | None:
    """How a shape is read, worked out once: a cluster may have thousands of services. None: as JSON has it."""
    if is_dataclass(shape) and isinstance(shape, type):
        return _object(shape)
    if isinstance(shape, type) and issubclass(shape, Enum):
        return _member(shape)
    if get_origin(shape) is not None:
        return _generic(get_origin(shape), get_args(shape))
    return float if shape is float else None


@cache
def _fields(shape: type[Any]) -> tuple[list[str], list[tuple[str, Reader]]]:
    """Names of fields that are taken as they are, and of the others with their readers."""
    hints = get_type_hints(shape)
    readers = {field.name: _reader(hints[field.name]) for field in fields(shape)}
    plain = [name for name, reader in readers.items() if reader is None]
    return plain, [(name, reader) for name, reader in readers.items() if reader is not None]


def _object(shape: type[Any]) -> Reader:
    def read(data: Any) -> Any:
        plain, others = _fields(shape)  # type: ignore[arg-type]  # only now: a shape may be part of itself
        values = {name: data[name] for name in plain if name in data}
        for name, reader in others:
            if name in data:
                values[name] = reader(data[name])
        return shape(**values)

    return read


def _member(shape: type[Enum]) -> Reader:
    members = {member.value: member for member in shape}
    return lambda data: members.get(data) or shape(data)  # which raises ValueError in its own words


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Reader:
    if origin in (Union, types.UnionType):
        inner = _reader(next(each for each in arguments if each is not type(None)))
        return lambda data: data if data is None or inner is None else inner(data)
    if origin is tuple and Ellipsis not in arguments:
        readers = [_reader(each) or _same for each in arguments]
        return lambda data: tuple(reader(item) for reader, item in zip(readers, data, strict=True))
    if issubclass(origin, Mapping):
        of_values = _reader(arguments[1]) or _same
        return lambda data: {key: of_values(value) for key, value in data.items()}
    of_items = _reader(arguments[0]) or _same
    kind = tuple if origin is tuple else list
    return lambda data: kind(map(of_items, data))


def _same(value: Any) -> Any:
    return value


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
