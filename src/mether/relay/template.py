"""Templates of what a postmaster wrote in a local route: ``{name}`` stands for a value.

One pass, no format language: a value that itself holds ``{...}`` is never looked at again, and braces
around anything else than a known name are an error when the configuration is read, not when mail comes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def names(template: str, known: Iterable[str]) -> list[str]:
    """The names that the template uses, in order.  Raises ValueError on one that is not `known`."""
    known = tuple(known)
    found = []
    for piece in template.split("{")[1:]:
        name, brace, _ = piece.partition("}")
        if not brace or name not in known:
            what = "{" + name + ("}" if brace else "")
            expected = ", ".join("{" + name + "}" for name in known)
            raise ValueError(f"{what[:40]} in {template[:80]!r} is not one of {expected}")
        found.append(name)
    return found


def expand(template: str, values: Mapping[str, str]) -> str:
    """The template with each ``{name}`` replaced; raises KeyError on a name that `values` lacks."""
    head, *pieces = template.split("{")
    out = [head]
    for piece in pieces:
        name, _, rest = piece.partition("}")
        out += (values[name], rest)
    return "".join(out)
