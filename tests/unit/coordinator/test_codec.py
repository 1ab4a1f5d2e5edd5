from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from umsui import model
from umsui.coordinator.client import ServiceDetail
from umsui.coordinator.codec import decode, encode

SHAPES = [each for each in vars(model).values() if dataclasses.is_dataclass(each)] + [ServiceDetail]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@cache
def values(shape: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that the model uses."""
    if dataclasses.is_dataclass(shape):
        hints = get_type_hints(shape)
        # Deferred: a shape may be part of itself.
        parts = {f.name: st.deferred(lambda hint=hints[f.name]: values(hint)) for f in dataclasses.fields(shape)}
        return st.builds(shape, **parts)
    if shape is Any:
        return JSON
    if isinstance(shape, type) and issubclass(shape, Enum):
        return st.sampled_from(shape)
    origin, arguments = get_origin(shape), get_args(shape)
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if each is type(None) else values(each) for each in arguments))
    if origin is tuple and Ellipsis in arguments:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    return {str: st.text(max_size=8), int: st.integers(), float: FLOATS, bool: st.booleans()}[shape]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_law_round_trip_over_json(shape: type[Any]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(values(shape))
    def law(value: Any) -> None:
        again = decode(shape, json.loads(json.dumps(encode(value))))
        assert again == value
        assert type(again) is shape

    law()


def test_a_newer_coordinator_may_tell_more() -> None:
    assert decode(model.Place, {"cluster": "a", "node": "b", "rack": 5}) == model.Place("a", "b")


def test_an_older_one_less() -> None:
    assert decode(model.Port, {"host": 1, "container": 2}) == model.Port(1, 2)


@pytest.mark.parametrize("data", [{}, None, {"cluster": "a"}, [1], 5])
def test_what_is_no_such_thing_is_refused(data: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        decode(model.Place, data)


def test_whole_numbers_become_floats() -> None:
    found = decode(model.Overhead, {"total": 3}).total
    assert isinstance(found, float)
    assert found == 3.0
