"""Structs: named values that do not change, as the tables of the configuration are.

    class Log(Struct):
        level: str = "info"
        format: str = "text"

A field is an annotated name in the body, with its default or none.  All are given by name; one that is
missing or unknown is a TypeError, and assigning to one an AttributeError.  Structs are equal when all their
values are.  `fields` tells what a struct has, `replace` makes another that differs, and `plain` what
``json`` takes.

Types are for the reader and for mypy, which knows this for a dataclass: what comes from a file has been
checked before (`setup.shape`).  dataclasses itself would take longer to load than sendmail's work does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

    S = TypeVar("S", bound="Struct")
else:

    def dataclass_transform(**given):
        """typing's, which is not worth its import."""
        return lambda one: one


class _Required:
    """Stands where a field has no default."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Struct:
    """What all structs are."""

    _defaults: ClassVar[dict[str, object]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: cls.__dict__.get(name, REQUIRED) for name in cls.__annotations__}
        cls._defaults = {**cls._defaults, **own}

    if not TYPE_CHECKING:

        def __init__(self, **given):
            defaults = self._defaults
            self.__dict__.update(defaults)
            self.__dict__.update(given)
            if len(self.__dict__) != len(defaults):
                unknown = next(name for name in given if name not in defaults)
                raise TypeError(f"{type(self).__name__} has no field {unknown}")
            for name, value in defaults.items():
                if value is REQUIRED and name not in given:
                    raise TypeError(f"{type(self).__name__} needs a value for {name}")

        def __setattr__(self, name, value):
            raise AttributeError(f"{name} of a {type(self).__name__} does not change")

        def __delattr__(self, name):
            raise AttributeError(f"{name} of a {type(self).__name__} does not change")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({values})"


def fields(struct: Struct | type[Struct]) -> Mapping[str, object]:
    """The names of a struct's fields in order, with their defaults; REQUIRED where there is none."""
    return struct._defaults


def replace(struct: S, **changes: object) -> S:
    """The same struct with other values.  Raises TypeError for a field that it does not have."""
    made: S = type(struct)(**{**struct.__dict__, **changes})
    return made


def plain(value: object) -> Any:
    """A struct as a dict, for the `default` of json.dumps.  Raises TypeError."""
    if isinstance(value, Struct):
        return value.__dict__
    raise TypeError(f"{type(value).__name__} is no value of a configuration")
