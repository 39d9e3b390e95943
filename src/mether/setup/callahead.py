"""Sessions for call-aheads (`routing.callahead`), begun as those in which the mail itself goes.

They go to the same hosts in the same order, with the same TLS and the same login.

Nothing is loaded before the first question; what it takes is made once for each event loop.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from typing import NoReturn

    from mether.client.stream import StreamClient
    from mether.outcome import Route
    from mether.relay.settings import Settings
    from mether.routing.callahead import Open
    from mether.setup.config import Config


def opener(config: Config) -> Open:
    """How a session with the next hop of a route is begun: see `routing.callahead.Open`."""
    made: list[Settings] = []

    async def open(route: Route) -> StreamClient:
        import asyncio

        from mether.relay.walk import Unusable, Walk
        from mether.routing.callahead import NoSession

        loop = asyncio.get_running_loop()
        if not made or made[0].loop is not loop:
            made[:] = [_settings(config, loop)]
        settings = made[0]
        try:
            manner = settings.manner(route)
            walk = Walk(route, settings, manner, False, manner.chooses(settings.logins, None), [])
            session = await walk.open(manner.helo or config.service.hostname)
        except Unusable as error:
            host = f"{error.remote_mta}: " if error.remote_mta else ""
            raise NoSession(f"{host}{error.reply}") from None
        return session.client

    return open


def _settings(config: Config, loop: asyncio.AbstractEventLoop) -> Settings:
    import random
    import time

    from mether.client.session import Timeouts
    from mether.relay.settings import Settings
    from mether.routing.callahead import LIMIT
    from mether.setup import finding, sending

    router = config.router()
    return Settings(
        loop=loop,
        find=finding.finder(config, router, loop),
        content=_none,
        hostname=config.service.hostname,
        timeouts=Timeouts(connect=LIMIT / 3, greeting=LIMIT, command=LIMIT),
        clock=time.time,
        done=_none,
        returned=_none,
        policy=sending.policies(config, router),
        tls=sending.client_tls(config),
        logins=sending.logins(config),
        manner=sending.manners(config, router),
        random=random.random,
    )


def _none(*_: object) -> NoReturn:
    raise AssertionError("a call-ahead sends no content")
