"""What a person is told of where mail goes: the facts of `programs.route` and `setup.facts` as lines.

Pure; nothing here fails.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.setup.facts import Facts

_WIDTH: Final = 14
_HOW: Final = {"direct": "", "alias": "by alias", "list": "by alias, as one of several"}
_LIST: Final = "as a member of the list, with the reverse-path"


def lines(facts: Facts) -> Iterator[str]:
    """The facts for a person."""
    yield str(facts["address"])
    if "trouble" in facts:
        yield _line("cannot be told now", facts["trouble"], wide=True)
        yield _line("answer", facts["reply"])
        return
    rule = f"{facts['rule']}, at {facts['where'] or 'no file'}" if facts["rule"] is not None else ""
    if "postmaster" in facts:
        yield _line("for", f"{facts['postmaster']}, the postmaster here")
    yield _line("rule", rule or "none: by MX")
    if facts["hold"] is not None:
        where = f", by the route {facts['held_by']}" if facts.get("held_by") else ""
        yield _line("held", f"{facts['hold']}{where}")
    if facts["reply"] is not None:
        yield _line("refused", facts["reply"])
        return
    deliveries = tables(facts, "deliveries")
    if facts["discard"]:
        yield _line("discarded", "taken, and forgotten" if not deliveries else "for some of its members")
    yield _line("open to", "anybody" if facts["open"] else "who may relay: see relay_from and auth")
    for one in deliveries:
        if one["how"] != "direct":
            how = _HOW[str(one["how"])] if one["owner"] is None else f"{_LIST} {one['owner']}"
            yield _line("goes to", f"{one['address']}, {how}")
            if one["hold"] is not None and facts["hold"] is None:
                yield _line("held", one["hold"])
        yield from delivery(one, rule)
    for one in tables(facts, "refused"):
        yield _line("goes not to", f"{one['address']}: {one['reply']}")
    for problem in facts["problems"] if isinstance(facts["problems"], list) else ():
        yield _line("problem", problem)


def delivery(one: Facts, rule: str) -> Iterator[str]:
    """One of those who get the mail; `rule` is the one that is told already."""
    via = f", by connections of the route {one['via']} alone" if one["via"] else ""
    yield _line("next hop", f"{one['route']}{via}")
    own = f"{one['rule']}, at {one['where']}"
    if one["rule"] is not None and own != rule:
        yield _line("by rule", own)
    if one["place"] is not None:
        yield _line("into", one["place"])
    yield from _of_message(one)
    if "suppressed" in one:
        yield _line("not sent", one["suppressed"])
    if "trouble" in one:
        yield _line("but", one["trouble"])
    for key, word in (("helo", "EHLO name"), ("source", "from address"), ("failover", "next host at")):
        if key in one:
            yield _line(word, _joined(one[key]))
    targets = tables(one, "targets")
    for target in targets:
        if len(targets) > 1:
            yield _line("target", target["target"])
        for host in tables(target, "hosts"):
            # A Unix socket has no port, and is its own address.
            where = f" port {host['port']}: {_joined(host['addresses'])}" if host["port"] else ""
            preference = f" (MX {host['preference']})" if host["preference"] else ""
            yield _line("host", f"{host['name']}{where}{preference}")
        if "trouble" in target:
            yield _line("no host", target["trouble"])
        names = [
            *_texts(target["tls_names"]),
            *(f"sha256:{each}" for each in _texts(target["tls_fingerprints"])),
        ]
        yield _line("TLS", f"{target['tls']}{' for ' if names else ''}{', '.join(names)}")
        login = target["login"] if target["login"] is not None else "none"
        if not target["login_guarded"]:
            login = f"{login}, but the server is not verified: no password is shown to it, only SCRAM works"
        others = "; other senders have other logins: see --sender" if one["logins_by_sender"] else ""
        yield _line("login", f"{login}{others}")


def _of_message(one: Facts) -> Iterator[str]:
    """As whom mail is delivered, and under which addresses it leaves."""
    user, leaves = one.get("user"), one.get("leaves")
    if isinstance(user, dict):
        uid = f", uid {user['uid']}" if "uid" in user else ""
        yield _line("as user", user.get("trouble") or f"{user['name']}{uid}")
    if not isinstance(leaves, dict):
        return
    if "trouble" in leaves:
        yield _line("rewritten", f"cannot be told now: {leaves['trouble']}")
        return
    if "reverse_path" in leaves:
        yield _line("leaves from", f"<{leaves['reverse_path']}>")
    else:
        yield _line("leaves from", "whom the route makes of the sender: see --sender")
    if "from" in leaves:
        yield _line("with From", leaves["from"])
    yield _line("leaves to", leaves["recipient"])


def _line(word: str, what: object, *, wide: bool = False) -> str:
    return f"  {word}: {what}" if wide else f"  {word:<{_WIDTH}}{what}"


def tables(facts: Facts, key: str) -> list[Facts]:
    """Facts of several things of a kind; [] where there are none."""
    value = facts.get(key, [])
    return value if isinstance(value, list) else []


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (tuple, list)) else ()


def _joined(value: object) -> str:
    return ", ".join(_texts(value)) if isinstance(value, (tuple, list)) else str(value)
