"""Structs: what the tables of the configuration are."""

import json

import pytest

from mether.setup.struct import REQUIRED, Struct, fields, plain, replace


class Point(Struct):
    x: int
    y: int = 2
    tags: tuple[str, ...] = ()

    @property
    def sum(self) -> int:
        return self.x + self.y


def test_values_are_given_by_name_or_have_their_default():
    point = Point(x=1)
    assert (point.x, point.y, point.tags, point.sum) == (1, 2, (), 3)
    assert repr(point) == "Point(x=1, y=2, tags=())"


def test_a_field_that_is_missing_or_unknown_is_an_error():
    with pytest.raises(TypeError, match="Point needs a value for x"):
        Point()
    with pytest.raises(TypeError, match="Point has no field z"):
        Point(x=1, z=3)


def test_nothing_changes():
    point = Point(x=1)
    for change in (lambda: setattr(point, "x", 2), lambda: delattr(point, "x")):
        with pytest.raises(AttributeError, match="x of a Point does not change"):
            change()
    assert point.x == 1


def test_equal_are_those_with_the_same_values():
    assert Point(x=1) == Point(x=1, y=2)
    assert hash(Point(x=1)) == hash(Point(x=1, y=2))
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != (1, 2, ())


def test_another_differs_in_what_was_said():
    point = Point(x=1, y=5)
    assert replace(point, x=7) == Point(x=7, y=5)
    assert point.x == 1
    with pytest.raises(TypeError, match="Point has no field z"):
        replace(point, z=1)


def test_its_fields_are_told_with_their_defaults():
    assert dict(fields(Point)) == {"x": REQUIRED, "y": 2, "tags": ()}
    assert list(fields(Point(x=1))) == ["x", "y", "tags"]


def test_json_has_structs_in_structs():
    class Line(Struct):
        ends: tuple[Point, ...] = ()

    text = json.dumps(Line(ends=(Point(x=1),)), default=plain)
    assert json.loads(text) == {"ends": [{"x": 1, "y": 2, "tags": []}]}
    with pytest.raises(TypeError, match="object is no value of a configuration"):
        json.dumps(object(), default=plain)
