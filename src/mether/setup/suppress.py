"""``[suppress]``: which failures are remembered of an address, and what becomes of mail for it then.

The list itself lies beside the queue (`queue.suppressed`) and holds whether anything is said here or not:
what a person put on it needs no configuration.  It is for mail that goes out by SMTP, by MX or to a host
that a route names.  A route with ``suppress = false`` is not concerned, and neither is one that is `open` to
anybody, unless it says ``suppress = true``: that leads to hosts of our own, whose mistakes of one afternoon
are not to be remembered for months.

`Kept` is the list of a process at work.  Fails with ConfigError, and with StoreError where the list is
damaged.
"""

from __future__ import annotations

import time

from mether.content.suppression import KINDS, USUAL
from mether.setup import decode
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.address import Address
    from mether.content.classify import Rules
    from mether.outcome import Route
    from mether.queue.suppressed_watch import Watch
    from mether.reply import Reply
    from mether.routing.router import Router
    from mether.runner.suppressing import Remember
    from mether.setup.config import Config
    from mether.setup.decode import Shape
    from mether.setup.routes import Route as Configured

FOREVER: Final = "forever"
PATIENCE: Final = 2000
"""Milliseconds that another process which writes to the list is waited for when something is remembered."""


class Suppress(Struct):
    """``[suppress]``: the classes of failure that are remembered (`remember`; True: the usual ones), how many
    of them it takes (`after`), for how many seconds they are kept or "forever", and whether mail for an
    address on the list is refused at RCPT, or else taken and returned (`refuse`)."""

    remember: bool | tuple[str, ...] = False
    after: int = 1
    keep: float | str = 91 * 86400.0
    refuse: bool = True

    @property
    def kinds(self) -> tuple[str, ...]:
        """The classes of failure that are remembered; none: nothing is."""
        if isinstance(self.remember, bool):
            return USUAL if self.remember else ()
        return self.remember

    @property
    def seconds(self) -> float | None:
        """How long they are kept; None: for ever."""
        return None if isinstance(self.keep, str) else self.keep


_kinds: Final = decode.list_of(decode.one_of(*KINDS), "classes of failure")


def _remember(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise ValueError(f'expected true, false, or a list of {", ".join(KINDS)}, such as ["no such user"]')
    wrong = next((each for each in value if each not in KINDS), None)
    if wrong is not None:
        from mether.content import classify

        if wrong in classify.KINDS:
            raise ValueError(
                f'"{wrong}" tells of us, of the message or of the day, and is not remembered of an address: '
                f"expected true, false, or a list of {', '.join(KINDS)}"
            )
    kinds: tuple[str, ...] = _kinds(value)
    return tuple(dict.fromkeys(kinds))


def _keep(value: object) -> float | str:
    if value == FOREVER:
        return FOREVER
    try:
        seconds: float = decode.duration(value)
    except ValueError as error:
        raise ValueError(f'{error}; or "{FOREVER}"') from None
    return seconds


SHAPE: Final[Shape] = {
    "remember": _remember,
    "after": decode.whole(1, 1000),
    "keep": _keep,
    "refuse": decode.boolean,
}


def directory(spool: str) -> str | None:
    """The directory of a spool, None for one in memory.  Raises NoUrl."""
    from mether.queue.open import parted

    return None if spool == "memory:" else parted(spool)[1]


def concerned(route: Configured) -> bool:
    """Whether the list is for mail that goes by this route."""
    return route.suppress if route.suppress is not None else not route.open


def applies(config: Config, router: Router) -> Callable[[Route], bool]:
    """A function that tells for which next hops the list is."""
    exempt = {rule for rule, route in zip(router.rules, config.route, strict=True) if not concerned(route)}

    def found(route: Route) -> bool:
        return route.transport == "smtp" and (not exempt or router.sending(route) not in exempt)

    return found


def watch(config: Config) -> Watch:
    """The list to ask about recipients."""
    from mether.queue.suppressed_watch import Watch

    return Watch(directory(config.queue.spool), time.time)


def refusing(
    config: Config, router: Router, watch: Watch | None
) -> Callable[[Address, Route], Reply | None] | None:
    """What a client is told that names a recipient for that next hop; None: nothing is refused for this."""
    if watch is None or not config.suppress.refuse:
        return None
    concerns = applies(config, router)

    def refusal(address: Address, route: Route) -> Reply | None:
        if not watch.live or not concerns(route):
            return None
        known = watch.find(address)
        if known is None:
            return None
        from mether.runner.suppressing import told

        return told(known)

    return refusal


def shown(config: Config, router: Router) -> Callable[[Address, Route], dict[str, object]]:
    """A function that tells a person what stops mail to an address at a next hop: "suppressed", the reply; {}
    where nothing does, and where this user may not know."""
    known, concerns = watch(config), applies(config, router)

    def facts(address: Address, route: Route) -> dict[str, object]:
        from mether.runner.suppressing import told

        found = known.find(address) if concerns(route) else None
        return {} if found is None else {"suppressed": str(told(found))}

    return facts


def troubles(config: Config) -> Iterator[str]:
    """A line where the list is damaged, so that no service starts on it; nothing for who may not read it."""
    from mether.queue.store import NotAllowed, StoreError

    asked = watch(config)
    try:
        asked.check()
    except NotAllowed:
        return
    except StoreError as error:
        yield str(error)
    finally:
        asked.close()


class Kept:
    """The list of a process at work: what is asked about recipients (`watch`), and what its runner does about
    them (`suppressing`).  Raises StoreError where there is a list that cannot be read."""

    def __init__(
        self, config: Config, router: Router, loop: asyncio.AbstractEventLoop, rules: Rules | None
    ) -> None:
        from mether.queue.suppressed import Suppressions
        from mether.runner.remembering import Recorder, Thread
        from mether.runner.suppressing import Suppressing

        where = directory(config.queue.spool)
        self.watch = watch(config)
        self.watch.check()
        self._thread = Thread(loop)
        known = self.watch.list
        if where is not None:
            known = Suppressions(where, create=True, learning=True, busy=PATIENCE)
        self._recorder = Recorder(
            known,
            self._thread,
            self.watch.changed,
            keep=config.suppress.seconds,
            after=config.suppress.after,
        )
        self.suppressing = Suppressing(self.watch, applies(config, router), self._remember(config, rules))

    def adopt(self, config: Config, router: Router, rules: Rules | None) -> None:
        """Go by a newer configuration from now on."""
        self._recorder.keep, self._recorder.after = config.suppress.seconds, config.suppress.after
        self.suppressing.adopt(applies(config, router), self._remember(config, rules))

    def expire(self) -> None:
        """Forget what is over, where anything was remembered."""
        if self.watch.live:
            self._recorder.expire(time.time())

    def close(self) -> None:
        """Write what is to be remembered, and let go of the list."""
        self._thread.close()
        self._recorder.close()
        self.watch.close()

    def _remember(self, config: Config, rules: Rules | None) -> Remember | None:
        from mether.runner.suppressing import Remember

        kinds = config.suppress.kinds
        return Remember(kinds, self._recorder, rules) if kinds else None
