"""What the keys of ``[[route]]`` say together: contradictions, and what would do nothing.

`check` looks at one route, `apart` at whether the queue can tell all of them apart: it knows mail by its next
hop, so that two routes that send to one host in two ways need names.  Both raise ConfigError with the line.

An open relay is such an error, too (RFC 5321 section 7.9, RFC 2505 section 2.1): with ``open`` a route
must be narrowed by what a client cannot choose, which its reverse-path is not.
"""

from __future__ import annotations

from mether.routing import match
from mether.setup import relaying, sending
from mether.setup.routes import ACTIONS, LOCAL, REFERENCES, Route, hosts
from mether.setup.spelling import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
    from typing import Any, Final

    from mether.setup.decode import Document

_SENDING: Final = ("smtp", "lmtp", "mx")
_HERE: Final = ("maildir", "pipe", "lmtp")
_FOR: Final = {
    "open": ("smtp", "mx"),
    "aliases": ("maildir", "pipe", "lmtp", "smtp", "mx"),
    "users": ("maildir", "pipe", "lmtp", "smtp", "mx"),
    "delimiter": ("maildir", "pipe", "lmtp", "smtp", "mx"),
    "as_user": ("maildir", "pipe"),
    "timeout": ("pipe",),
    "from_line": ("pipe",),
    "delivered_to": ("maildir", "pipe"),
    "weights": ("smtp", "lmtp"),
    "failover": _SENDING,
    "source": _SENDING,
    "helo": _SENDING,
    "login": ("smtp", "lmtp"),
    "masquerade": _SENDING,
    "masquerade_exceptions": _SENDING,
    "rewrite": _SENDING,
    "srs": ("smtp", "mx"),
    "verp": ("smtp", "mx"),
    "suppress": ("smtp", "mx"),
}
"""The actions that a key is for; where aliases stand alone, it is for none unless `_BESIDE` has it."""
_BESIDE: Final = ("aliases", "delimiter")
_LOCAL_OWN: Final = ("timeout", "as_user", "delimiter", "from_line", "delivered_to")
"""What a route may say of how mail is delivered here."""
OWN: Final = (
    "failover",
    "source",
    "helo",
    "login",
    "masquerade",
    "masquerade_exceptions",
    "rewrite",
    "srs",
    "verp",
    "suppress",
    *sending.ROUTE_TLS,
    *relaying.ROUTE,
)
"""What a route may say of how its mail is sent: it holds for all mail to the same next hop."""


def check(
    document: Document,
    number: int,
    values: dict[str, Any],
    find: Callable[[str], str],
    *,
    tables: Collection[str] = (),
    listeners: Collection[str] = (),
) -> Route:
    """The route with that number; `find` makes a path absolute, `tables` and `listeners` are the names that
    there are.  Raises ConfigError."""
    at = ("route", number)
    action = _action(document, number, values)
    for key, actions in _FOR.items():
        if key in values and action not in actions and not (action == "aliases" and key in _BESIDE):
            has = "aliases alone" if action == "aliases" else action
            raise document.wrong((*at, key), f"is for {_listed(actions)}, and this route has {has}")
    for key in ("alias_programs", "alias_files"):
        if key in values and "aliases" not in values:
            raise document.wrong((*at, key), "does nothing without aliases")
    _check_names(document, number, values, tables, listeners)
    _find_files(values, find)
    sending.check_route(document, number, values)
    relaying.check_route(document, number, values)
    if "login" in values:
        login = sending.check_login(document, (*at, "login"), values["login"], find)
        values["login"] = sending.Login(**login)
    route = Route(**values)
    _check_users(document, number, route, action)
    _check_sending(document, number, route)
    if route.open:
        _check_open(document, number, route)
    return route


def _action(document: Document, number: int, values: Mapping[str, Any]) -> str:
    at = ("route", number)
    given = [key for key in ACTIONS if key in values]
    if len(given) > 1:
        raise document.wrong(
            (*at, given[1]), f"contradicts {given[0]}: a route has one of {', '.join(ACTIONS)}"
        )
    if not given and "aliases" not in values:
        raise document.wrong(at, f"expected one of {', '.join(ACTIONS)} or aliases: what becomes of the mail")
    return given[0] if given else "aliases"


def _check_names(
    document: Document,
    number: int,
    values: Mapping[str, Any],
    tables: Collection[str],
    listeners: Collection[str],
) -> None:
    """Whether the tables and listeners are there."""
    for key, value in values.items():
        for index, text in enumerate(value if isinstance(value, tuple) else (value,)):
            where = ("route", number, key, index) if isinstance(value, tuple) else ("route", number, key)
            if key == "listener" and text not in listeners:
                meant = nearest(text, listeners)
                guess = f" (did you mean {meant}?)" if meant else ""
                raise document.wrong(where, f"no [[listen]] has the name or the address {text}{guess}")
            if key in _REFERRING and isinstance(text, str) and text.startswith("table:"):
                name = text.removeprefix("table:")
                if name not in tables:
                    meant = nearest(name, tables)
                    guess = f" (did you mean table:{meant}?)" if meant else ""
                    raise document.wrong(where, f"no [[table]] has the name {name}{guess}")


_REFERRING: Final = ("domains", "recipient", "sender", "authenticated", "aliases", "users", "rewrite")


def _find_files(values: dict[str, Any], find: Callable[[str], str]) -> None:
    """Files and programs are relative to the configuration's directory."""

    def found(text: str) -> str:
        return f"file:{find(text.removeprefix('file:'))}" if text.startswith("file:") else text

    for key in _REFERRING:
        if key == "aliases" or key not in values:
            continue
        value = values[key]
        values[key] = (
            tuple(map(found, value))
            if isinstance(value, tuple)
            else found(value)
            if isinstance(value, str)
            else value
        )
    if "aliases" in values:
        values["aliases"] = tuple(
            one if one.startswith(REFERENCES) else find(one) for one in values["aliases"]
        )
    if "maildir" in values and not values["maildir"].startswith("{home}"):
        values["maildir"] = find(values["maildir"])
    if "pipe" in values and "/" in values["pipe"][0]:
        program, *rest = values["pipe"]
        values["pipe"] = (find(program), *rest)


def _check_users(document: Document, number: int, route: Route, action: str) -> None:
    if route.users is None:
        return
    at = ("route", number, "users")
    if action in ("smtp", "mx") and not route.open:
        raise document.wrong(
            at, "needs open = true beside it: only who may relay anywhere is let in without, and is not asked"
        )
    if "callahead" in route.users and action not in _SENDING:
        raise document.wrong(
            (*at, route.users.index("callahead")), f"callahead asks the host in {_listed(_SENDING)}"
        )


def _check_sending(document: Document, number: int, route: Route) -> None:
    at = ("route", number)
    key = "smtp" if route.lmtp is None else "lmtp"
    if route.weights is not None:
        if len(route.hosts) < 2:
            raise document.wrong((*at, "weights"), f"does nothing: {key} names one host")
        if len(route.weights) != len(route.hosts):
            raise document.wrong(
                (*at, "weights"),
                f"expected as many weights as hosts: {len(route.hosts)}, not {len(route.weights)}",
            )
    if route.hosts:
        try:
            hosts(route)
        except ValueError as error:
            raise document.wrong((*at, key), str(error)) from None
    if (
        route.source is not None
        and route.hosts
        and all(host.startswith("lmtp:unix:") for host in route.hosts)
    ):
        raise document.wrong((*at, "source"), "does nothing: a Unix socket has no addresses")


def _check_open(document: Document, number: int, route: Route) -> None:
    """Whether something narrows what anybody may send that is not for the client to choose."""
    if not any(map(_any_domain, route.domains)):
        return
    if route.recipient and not any(_any_domain(one.rpartition("@")[2]) for one in route.recipient):
        return
    if isinstance(route.authenticated, tuple) or route.authenticated:
        return

    import ipaddress

    networks = [ipaddress.ip_network(one) for one in route.client or () if one != LOCAL]
    if route.client and all(network.prefixlen for network in networks):
        return
    raise document.wrong(
        ("route", number, "open"),
        "this would be an open relay, which sends anybody's mail to anywhere: expected domains, recipient, "
        "client or authenticated beside it"
        + (" (a client may claim to be any sender)" if route.sender else "")
        + (" (whom a listener trusts is said by its relay_from)" if route.listener else ""),
    )


def _any_domain(pattern: str) -> bool:
    """Whether a pattern of domains takes any domain."""
    return not pattern.startswith(REFERENCES) and not pattern.strip("*?.")


def apart(document: Document, routes: Sequence[Route]) -> None:
    """Whether the queue can tell the routes apart.  Raises ConfigError."""
    # Of those that the queue knows by the same the first will do: the others are as it is, or were refused.
    first: dict[Hashable, int] = {}
    plain: list[int] = []
    for number, route in enumerate(routes):
        those = {first[known] for known in _known_by(route) if known in first}
        if route.mx and _own(route):
            those.update(plain)
        for other in sorted(those):
            why = _confused(routes[other], route)
            if why:
                key = _key(route)
                line = document.line(("route", other, _key(routes[other])))
                raise document.wrong(
                    ("route", number, key), f"the route on line {line} {why}: give this one a name of its own"
                )
        for known in _known_by(route):
            first.setdefault(known, number)
        if route.mx and not _own(route):
            plain.append(number)
        if route.mx and route.name is None and _own(route) and not _found_again(route):
            raise document.wrong(
                ("route", number, _own(route)[0]),
                "expected a name = ... in a route that asks for more than domains: only by its name the "
                "queue knows mail again that it sends by MX",
            )


def users(document: Document, routes: Sequence[Route], service: Mapping[str, Any]) -> None:
    """Whether routes can deliver as their users, under what ``[service]`` says.  Raises ConfigError."""
    if "group" in service and "user" not in service:
        raise document.wrong(("service", "group"), "expected a user = ... beside it")
    for number, route in enumerate(routes):
        if route.maildir is not None:
            from mether.relay import maildir

            try:
                maildir.check_template(route.maildir, as_user=route.as_user)
            except ValueError as error:
                raise document.wrong(("route", number, "maildir"), str(error)) from None
        if not route.as_user:
            continue
        if "user" not in service:
            raise document.wrong(
                ("route", number, "as_user"),
                "expected a user = ... in [service], whom the service becomes after root has started it",
            )
        if route.pipe is not None:
            from mether.relay import pipe

            if pipe.ALL in route.pipe:
                raise document.wrong(
                    ("route", number, "pipe"),
                    f"each user has a run of its own with as_user: write {{recipient}}, not {pipe.ALL}",
                )


def _known_by(route: Route) -> Iterator[Hashable]:
    """What the queue knows a route by: no two routes that differ in how mail goes may share any of it."""
    if route.name is not None:
        yield "name", route.name
    for local in ("maildir", "pipe"):
        if getattr(route, local) is not None:
            yield local, _called(route)
    for hop in ("smtp", "lmtp"):
        if route.name is None and getattr(route, hop) is not None:
            yield hop, getattr(route, hop), route.weights


def _confused(earlier: Route, route: Route) -> str:
    """Why the queue could not tell two routes apart, "" where it can."""
    if route.name is not None and route.name == earlier.name:
        return "has the same name"
    for local in ("maildir", "pipe"):
        if getattr(route, local) is not None and getattr(earlier, local) is not None:
            both = [
                (getattr(one, local), *(getattr(one, key) for key in _LOCAL_OWN)) for one in (earlier, route)
            ]
            if _called(earlier) == _called(route) and both[0] != both[1]:
                return f"delivers in another way, and is known as {_called(route)} too"
    if route.name is not None or earlier.name is not None:
        return ""
    for hop in ("smtp", "lmtp"):
        here = getattr(route, hop)
        if here is not None and (here, route.weights) == (getattr(earlier, hop), earlier.weights):
            keys = [key for key in OWN if getattr(route, key) != getattr(earlier, key)]
            if keys:
                return f"goes to the same next hop with other {_WHAT.get(keys[0], keys[0])}"
    if route.mx and earlier.mx and _own(route) and not _own(earlier) and not _found_again(earlier):
        shared = [one for one in earlier.domains if any(match.covers(two, one) for two in route.domains)]
        if shared:
            return f"sends some of the same domains by MX without {_own(route)[0]}"
    return ""


_WHAT: Final = {
    **dict.fromkeys(sending.ROUTE_TLS, "TLS"),
    **dict.fromkeys(relaying.ROUTE, "limits"),
}


def _own(route: Route) -> list[str]:
    """The keys that it has of those that say how mail is sent."""
    return [key for key in OWN if getattr(route, key) not in (None, False)]


def _found_again(route: Route) -> bool:
    """Whether the next hop of mail that went by MX tells that it went by this route."""
    return not route.narrowed and not any(one.startswith(REFERENCES) for one in route.domains)


def _called(route: Route) -> str:
    """The name that the queue has for a local route: as `routing.rule.Rule.name`."""
    patterns = [one for one in route.domains if not one.startswith(REFERENCES)]
    return route.name or (match.Domains(patterns[:1]).patterns[0] if patterns else _key(route))


def _key(route: Route) -> str:
    """The key that says what becomes of the mail."""
    return next((key for key in ACTIONS if getattr(route, key) is not None), "aliases")


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
