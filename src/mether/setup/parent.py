"""The parent of a service of several workers: it starts them, watches them, and tells them what to do.

It opens the listening sockets, one of its own for each worker at each address, and nothing else: no queue, no
event loop, no thread, so that it can fork at any time.  As it keeps the sockets, a worker that dies loses
nobody who waits to be accepted: the next one takes over the same sockets with what is in their backlog.  A
worker that dies again and again is started after longer and longer pauses (`setup.respawn`).

SIGTERM and SIGINT end the workers in good order, and a second one at once; SIGHUP has the configuration read
again.  All workers prepare it, and only when all can do they adopt it: where one cannot, everything stays as
it was.  New sockets are opened here and given to them; those that are named no more are closed when their
backlog is answered.

The first worker is started alone.  What keeps it, or another, from its work at the start, so that it ends
with a status, ends the service with that status and the one line that it wrote; one that is killed is started
anew then too.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from time import monotonic

from mether import __version__
from mether.event import mail as event
from mether.setup import channel, places, privileges, respawn
from mether.setup.crew import PATIENCE, One
from mether.setup.logs import Log
from mether.setup.reload import STAYS, Reload, failed, kept
from mether.setup.worker import Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.setup.channel import Channel
    from mether.setup.config import Config
    from mether.setup.places import Key, Place
    from mether.setup.systemd import Notifier

ENDING: Final = 90.0
"""Seconds that workers have to end in good order, which is more than they take; then they are killed."""

SOFTWARE: Final = 70
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Parent:
    """The parent of as many workers as the configuration says; `load` reads that again."""

    def __init__(self, config: Config, *, load: Callable[[], Config], notifier: Notifier) -> None:
        self._config = config
        self._load = load
        self._notifier = notifier
        self._workers = [One(number) for number in range(config.service.workers)]
        self._places: dict[Key, Place] = {}
        self._begun = False
        self._queued: int | None = None
        self._status = 0
        self._ending: float | None = None
        self._reload: Reload | None = None
        self._reload_again = False
        self._reloads = 0
        self._sign_of_life = 0.0

    def run(self) -> Child | int:
        """Be the parent, until the service ends with the status that is returned; or in a worker, at once,
        what that has from its parent.  Raises CannotListen or ConfigError."""
        self._places = places.opened(self._config.listen, {}, len(self._workers))
        self._helper = privileges.leave(self._config, self._places, len(self._workers))
        self._log = Log(self._config, sys.stderr)
        self._wakes, self._waker = socket.socketpair()
        self._wakes.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _noticed)
        gc.freeze()  # what is there stays, and is shared with the workers
        self._workers[0].due = 0.0
        while True:
            child = self._start_those_due(monotonic())
            if child is not None:
                return child
            if self._ending is not None and not any(one.pid for one in self._workers):
                break
            self._wait()
        for place in self._places.values():
            place.end()
        if self._begun:
            event.stopped("smtpd")
        return self._status

    # What happens

    def _wait(self) -> None:
        """Wait for the next thing that happens, and do what follows."""
        poll = select.poll()
        poll.register(self._wakes, select.POLLIN)
        lines = {one.channel.fileno(): one for one in self._workers if one.channel is not None}
        for fd in lines:
            poll.register(fd, select.POLLIN)
        now = monotonic()
        times = list(self._times())
        found = poll.poll(max(0.0, min(times) - now) * 1000 + 1 if times else None)
        for fd, _ in found:
            if fd in lines:
                self._hear(lines[fd])
        for number in self._signalled() if any(fd not in lines for fd, _ in found) else ():
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._reload_again = True
            else:
                self._stop()
        if self._reload_again and self._reload is None and self._begun and self._ending is None:
            self._reload_again = False
            self._begin_reload()
        self._look_at_the_time(monotonic())

    def _times(self) -> Iterator[float]:
        """When there will be something to do, whatever happens."""
        if self._ending is not None:
            yield self._ending
        if self._reload is not None:
            yield self._reload.until
        elif self._ending is None:
            yield from (one.due for one in self._workers if one.due is not None)
        yield from (one.until for one in self._workers if one.until is not None)
        if self._notifier.watchdog and self._begun:
            yield self._sign_of_life

    def _signalled(self) -> list[int]:
        """The signals that have come, each once but for those that end the service."""
        try:
            numbers = list(self._wakes.recv(4096))
        except OSError:
            return []
        ends = [one for one in numbers if one in (signal.SIGTERM, signal.SIGINT)]
        return [*ends, *{one for one in numbers if one not in ends}]

    def _look_at_the_time(self, now: float) -> None:
        if self._reload is not None and now >= self._reload.until:
            self._reload.late()
            self._look_at_reload()
        late = self._ending is not None and now >= self._ending
        for one in self._workers:
            if one.pid and (late or (one.until is not None and now >= one.until)):
                event.error(f"{one.name} (process {one.pid}) does not end, and is killed")
                os.kill(one.pid, signal.SIGKILL)
                one.until = None if one.until is None else now + ENDING
        if late:
            self._ending = now + ENDING
        if self._notifier.watchdog and self._begun and now >= self._sign_of_life:
            half = self._notifier.watchdog / 2
            self._sign_of_life = now + half
            if all(now - one.heard <= half for one in self._workers if one.ready):
                self._notifier.alive()

    def _hear(self, one: One) -> None:
        assert one.channel is not None
        messages, there = one.channel.receive()
        for name, *rest in messages:
            one.heard = monotonic()
            if name == "ready":
                one.ready = True
                if rest[0] is not None:
                    self._queued = rest[0]
                self._look_whether_begun()
            elif name in ("prepared", "adopted") and self._reload is not None:
                self._reload.hear(one, (name, *rest), one.heard)
                self._look_at_reload()
        if not there:
            self._hang_up(one)  # its end is told by SIGCHLD
            one.until = monotonic() + PATIENCE

    def _look_whether_begun(self) -> None:
        if self._begun or self._ending is not None:
            return
        for one in self._workers:
            if not one.pid and one.due is None:
                one.due = 0.0  # the first one works, so the others can
        if all(one.ready for one in self._workers):
            self._begun = True
            event.started(
                "smtpd",
                version=__version__,
                addresses=tuple(places.addresses(self._places)),
                spool=self._config.queue.spool,
                queued=self._queued,
            )
            self._notifier.ready(places.status(self._places, len(self._workers)))

    # Workers come and go

    def _start_those_due(self, now: float) -> Child | None:
        """Start the workers whose time has come; what a worker has from its parent, in that worker."""
        for one in self._workers:
            if one.due is None or one.due > now or self._ending is not None or self._reload is not None:
                continue
            one.due = None
            ours, theirs = channel.pair()
            sys.stderr.flush()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                one.pid = os.fork()
            except OSError as error:
                event.error(f"{one.name} cannot be started: {error.strerror}")
                one.deaths += 1
                one.due = now + max(1.0, respawn.pause(one.deaths))
                ours.close()
                theirs.close()
                continue
            finally:
                if one.pid == 0 and one.due is None:
                    self._leave(ours)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if one.pid == 0:
                return self._child(one, theirs)
            theirs.close()
            one.channel, one.started, one.heard = ours, now, now
            event.noted(f"{one.name} is process {one.pid}")
        return None

    def _leave(self, ours: Channel) -> None:
        """In a worker that was just forked: let go of all that is the parent's."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._wakes.close()
        self._waker.close()
        ours.close()
        for other in self._workers:
            if other.channel is not None:
                other.channel.close()
        self._log.detach()

    def _child(self, one: One, theirs: Channel) -> Child:
        return Child(
            one.number,
            len(self._workers),
            self._config,
            {key: place.forget(one.number) for key, place in self._places.items()},
            theirs,
            first=one.number == 0 and not self._begun,
            alive=self._notifier.watchdog / 4,
            helper=self._helper,
        )

    def _reap(self) -> None:
        for one in self._workers:
            if one.pid:
                pid, how = os.waitpid(one.pid, os.WNOHANG)
                if pid:
                    self._died(one, how)

    def _died(self, one: One, how: int) -> None:
        now = monotonic()
        pid, one.pid, one.ready, one.until = one.pid, 0, False, None
        self._hang_up(one)
        code = os.waitstatus_to_exitcode(how)
        what = f"{one.name} (process {pid}) {respawn.how(how)}"
        if self._reload is not None:
            self._reload.lost(one, now)
            self._look_at_reload()
        if self._ending is not None:
            if code and code != -signal.SIGTERM:  # which came before it could hear of it
                event.error(what)
                self._status = self._status or (code if code > 0 else SOFTWARE)
            return
        if not self._begun and code > 0:  # it has said why, in one line
            self._status = code
            self._stop()
            return
        one.deaths = respawn.deaths(one.deaths, now - one.started)
        pause = respawn.pause(one.deaths)
        one.due = now + pause
        when = f"in {pause:g} s" if pause else "at once"
        (event.error if code else event.noted)(f"{what}; it is started anew {when}")

    def _hang_up(self, one: One) -> None:
        if one.channel is not None:
            one.channel.close()
            one.channel = None

    # The end

    def _stop(self) -> None:
        """End in good order; when that has begun already, at once."""
        if self._ending is not None:
            for one in self._workers:
                one.tell(("hurry",))
            return
        self._ending = monotonic() + ENDING
        self._notifier.stopping("ending the sessions")
        if self._begun:
            event.stopping("smtpd", reason="signal")
        if self._reload is not None and not self._reload.settled:  # else it is a matter of moments
            self._reload.give_up(f"{STAYS}: the service ends")
            self._look_at_reload()
        for one in self._workers:
            one.tell(("stop",))
        for place in self._places.values():
            place.end()

    # A newer configuration

    def _begin_reload(self) -> None:
        self._notifier.reloading()
        try:
            config = kept(self._load(), self._config)
            opened = places.opened(config.listen, self._places, len(self._workers))
        except Exception as error:
            event.error(failed(error))
            self._notifier.ready(failed(error))
            return
        self._reloads += 1
        now = monotonic()
        self._reload = Reload(self._reloads, config, opened, self._workers, now)
        self._reload.begin(now)
        self._look_at_reload()

    def _look_at_reload(self) -> None:
        """Go by the newer configuration when it is in force; say what came of it when that is over."""
        reload = self._reload
        assert reload is not None
        if reload.settled and self._config is not reload.config:
            self._config = reload.config
            before, self._places = (
                self._places,
                places.kept(self._places, reload.opened, reload.config.listen),
            )
            for key, place in before.items():
                if key not in self._places:
                    place.end()
            places.tell(before, self._places)
        if not reload.over:
            return
        self._reload = None
        if reload.trouble:
            event.error(reload.trouble)
            self._notifier.ready(reload.trouble)
            return
        self._log.adopt(reload.config)
        event.noted("the configuration was read anew")
        self._notifier.ready(places.status(self._places, len(self._workers)))


def _noticed(number: int, frame: object) -> None:
    """A signal has come: the wakeup descriptor tells `Parent` which."""
