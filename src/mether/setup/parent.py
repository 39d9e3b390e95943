"""The parent of a service of several workers: it starts them, watches them, and tells them what to do.

It opens the listening sockets, one of its own for each worker at each address, and nothing else: no queue, no
event loop, no thread, so that it can fork at any time.  As it keeps the sockets, a worker that dies loses
nobody who waits to be accepted: the next one takes over the same sockets with what is in their backlog.  A
worker that dies again and again is started after longer and longer pauses (`setup.respawn`).

SIGTERM and SIGINT end the workers in good order, and a second one at once; SIGHUP has the configuration read
again.  All workers prepare it, and only when all can do they adopt it: where one cannot, everything stays as
it was.  New sockets are opened here and given to them; those that are named no more are closed when their
backlog is answered.

The first worker is started alone.  What keeps it, or another, from its work at the start ends the service
with that worker's status and the one line that it wrote.
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
from mether.setup import channel, places, respawn
from mether.setup.logs import Log
from mether.setup.service import Child, addresses, failed, kept, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from mether.setup.channel import Channel
    from mether.setup.config import Config
    from mether.setup.places import Key, Place
    from mether.setup.systemd import Notifier

PREPARING: Final = 30.0
"""Seconds in which all workers must be ready to adopt a new configuration."""

ENDING: Final = 90.0
"""Seconds that workers have to end in good order, which is more than they take; then they are killed."""

SOFTWARE: Final = 70
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class One:
    """A worker as its parent sees it; `pid` is 0 while it is dead, to be started at `due` (monotonic
    seconds)."""

    __slots__ = ("channel", "deaths", "due", "heard", "number", "pid", "ready", "started")

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.channel: Channel | None = None
        self.ready = False
        self.started = 0.0
        self.heard = 0.0
        self.deaths = 0
        self.due: float | None = None

    @property
    def name(self) -> str:
        """What the log calls it: by the first, 1."""
        return f"worker {self.number + 1}"

    def tell(self, message: tuple[Any, ...], sockets: list[socket.socket] | None = None) -> bool:
        """Send it a message; False when it takes none."""
        if self.channel is None:
            return False
        try:
            self.channel.send(message, sockets or ())
        except OSError:
            return False
        return True


class Reload:
    """A configuration that the workers in `awaited` have not prepared, or in the end adopted, yet.

    What is new to listen on is in `opened`; they have until `until` (monotonic seconds).  By its `number` a
    late answer to an earlier one is known.
    """

    __slots__ = ("adopting", "awaited", "config", "number", "opened", "until")

    def __init__(
        self, number: int, config: Config, opened: dict[Key, Place], awaited: set[One], until: float
    ) -> None:
        self.number = number
        self.config = config
        self.opened = opened
        self.awaited = awaited
        self.until = until
        self.adopting = False

    def is_answer(self, name: str, number: int = 0) -> bool:
        """Whether a message is what is awaited."""
        return name == ("adopted" if self.adopting else "prepared") and number == self.number


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
        what that has from its parent.  Raises CannotListen."""
        self._places = places.opened(self._config.listen, {}, len(self._workers))
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
            slow = ", ".join(sorted(one.name for one in self._reload.awaited))
            self._go_on_with_reload(f"the configuration stays as it was: no answer from {slow}")
        if self._ending is not None and now >= self._ending:
            for one in self._workers:
                if one.pid:
                    event.error(f"{one.name} (process {one.pid}) does not end, and is killed")
                    os.kill(one.pid, signal.SIGKILL)
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
            elif self._reload is not None and self._reload.is_answer(name, *rest[:1]):
                self._reload.awaited.discard(one)
                self._go_on_with_reload(rest[1])
        if not there:
            self._hang_up(one)  # its end is told by SIGCHLD

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
                addresses=tuple(addresses(self._places)),
                spool=self._config.queue.spool,
                queued=self._queued,
            )
            self._notifier.ready(status(self._places, len(self._workers)))

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
        )

    def _reap(self) -> None:
        for one in self._workers:
            if one.pid:
                pid, how = os.waitpid(one.pid, os.WNOHANG)
                if pid:
                    self._died(one, how)

    def _died(self, one: One, how: int) -> None:
        now = monotonic()
        pid, one.pid, one.ready = one.pid, 0, False
        self._hang_up(one)
        code = os.waitstatus_to_exitcode(how)
        what = f"{one.name} (process {pid}) {respawn.how(how)}"
        if self._reload is not None:
            self._reload.awaited.discard(one)
            self._go_on_with_reload("")
        if self._ending is not None:
            if code:
                event.error(what)
                self._status = self._status or (code if code > 0 else SOFTWARE)
            return
        if not self._begun:
            # It has said why, in one line, unless it could not.
            self._status = code if code > 0 else SOFTWARE
            if code <= 0:
                event.error(f"{what} before it was ready")
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
            event.stopped("smtpd", reason="signal")
        if self._reload is not None:
            self._go_on_with_reload("the configuration stays as it was: the service ends")
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
        awaited = {one for one in self._workers if one.pid}
        self._reloads += 1
        self._reload = Reload(self._reloads, config, opened, awaited, monotonic() + PREPARING)
        for one in awaited:
            mine = [(key, place.sockets[one.number]) for key, place in opened.items()]
            counts = [(key, len(sockets)) for key, sockets in mine]
            one.tell(
                ("prepare", self._reloads, config, counts), [sock for _, sockets in mine for sock in sockets]
            )
        self._go_on_with_reload("")

    def _go_on_with_reload(self, trouble: str) -> None:
        """Take the next step when no worker is awaited any more, or with `trouble` give it up.

        What some have begun to adopt is not given up any more: who is in trouble with that is started anew.
        """
        reload = self._reload
        assert reload is not None
        if reload.adopting and trouble:
            for one in reload.awaited:
                self._start_anew(one)
        elif trouble:
            self._reload = None
            self._tell_all("drop")
            for place in reload.opened.values():
                place.end()
            event.error(trouble)
            self._notifier.ready(trouble)
            return
        elif reload.awaited:
            return
        elif not reload.adopting:
            reload.adopting = True
            reload.until = monotonic() + PREPARING
            reload.awaited = self._tell_all("adopt")
            before, self._config = self._places, reload.config
            self._places = places.kept(before, reload.opened, reload.config.listen)
            for key, place in before.items():
                if key not in self._places:
                    place.end()
            if reload.awaited:
                return
        self._reload = None
        self._log.adopt(reload.config)
        event.noted("the configuration was read anew")
        self._notifier.ready(status(self._places, len(self._workers)))

    def _tell_all(self, word: str) -> set[One]:
        """Tell every worker; who takes it."""
        told = set()
        for one in self._workers:
            if one.pid and one.tell((word,)):
                told.add(one)
            elif one.pid:
                self._start_anew(one)
        return told

    def _start_anew(self, one: One) -> None:
        """End a worker that does not listen: whatever it goes by, its successor goes by the right one."""
        event.error(f"{one.name} (process {one.pid}) does not answer, and is killed")
        os.kill(one.pid, signal.SIGKILL)


def _noticed(number: int, frame: object) -> None:
    """A signal has come: the wakeup descriptor tells `Parent` which."""
