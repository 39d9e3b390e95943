"""``smtpq top``: what the queue is doing, on a terminal, until q is pressed.

Rates are differences of the store's running totals, read at each look.  To count the queue takes longer the
more is in it: it is counted again after twenty times as long as counting took, so that looking on costs the
queue's workers a twentieth of one processor at most.

The terminal is as it was when the program ends, however it ends.  Where stdout is no terminal, and with
``--once``, one frame is printed after one interval, with no terminal control.  A queue that cannot be read
for a while is said to be so, and read again.
"""

from __future__ import annotations

import os
import sys

from mether.programs.errors import UNAVAILABLE, Failure
from mether.programs.options import UsageError
from mether.programs.smtpq_frame import AGES, SORTS, Count, frame, rates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from mether.programs.options import Parsed
    from mether.programs.smtpq import Call
    from mether.queue.figures import Totals
    from mether.queue.store import Store

INTERVAL: Final = "2s"
SHORTEST: Final = 0.1
SHARE: Final = 20
"""Counting takes at most one part in so many of the time."""

INSTEAD: Final = "smtpq top --once prints one frame"

WIDTH: Final = 1000
HEIGHT: Final = 24
"""Of the frame where no terminal has a width, and of every frame that is printed once."""


class View:
    """What was read of the queue, and how it is to be shown.  `clock` gives Unix seconds, `spent` seconds
    that never go back."""

    def __init__(
        self, store: Store, clock: Callable[[], float], spent: Callable[[], float], sort: str = "waiting"
    ) -> None:
        self.store = store
        self.clock = clock
        self.spent = spent
        self.sort = sort
        self.paused = False
        self.note = ""
        self.count: Count | None = None
        self._again = 0.0
        self._kept = True
        self._before: tuple[float, Totals] | None = None
        self._after: tuple[float, Totals] | None = None

    def look(self) -> None:
        """Read the totals, and count when its time has come.  Never raises StoreError: it becomes the
        note."""
        from mether.queue.store import StoreError

        if self.paused:
            return
        try:
            totals = self.store.totals()
            self._kept = totals is not None
            if totals is not None:
                self._before, self._after = self._after, (self.spent(), totals)
            if self.spent() >= self._again:
                self._count()
            self.note = ""
        except StoreError as error:
            self.note = str(error)

    def _count(self) -> None:
        from mether.queue.selection import Filter

        began, now = self.spent(), self.clock()
        summary = self.store.summary()
        shapes = self.store.shape(Filter(), [now - age for age in AGES])
        self.count = Count(now, summary, shapes, self.store.hops())
        self._again = self.spent() + SHARE * (self.spent() - began)

    def press(self, key: str) -> bool:
        """Do what a key asks; whether to go on."""
        if key == "p":
            self.paused = not self.paused
        for sort in SORTS:
            if key == sort[:1]:
                self.sort = sort
        return key != "q"

    def frame(self, width: int, height: int) -> list[str]:
        """What to show now."""
        return frame(
            self.count,
            rates(self._before, self._after),
            now=self.clock(),
            width=width,
            height=height,
            sort=self.sort,
            paused=self.paused,
            kept=self._kept,
            note=self.note,
        )


def top(call: Call) -> None:
    """Show it.  Raises StoreError, Failure, UsageError."""
    import time

    seconds = interval(call.options)
    view = View(call.store, time.time, time.monotonic, call.options.text("sort") or "waiting")
    if call.options.flag("once") or not (sys.stdout.isatty() and sys.stdin.isatty()):
        once(view, lambda: time.sleep(seconds))
    else:
        live(view, seconds)


def once(view: View, wait: Callable[[], object]) -> None:
    """Print one frame, with the rates of the time that `wait` takes.  Raises StoreError."""
    from mether.queue.store import StoreError

    view.look()
    if not view.note:
        wait()
        view.look()
    if view.note:
        raise StoreError(view.note)
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        width = WIDTH
    lines = view.frame(width, HEIGHT)
    lines[0] = lines[0].partition("q quit")[0]
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in lines)


class _Ended(BaseException):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def live(view: View, interval: float) -> None:
    """Draw until q is pressed or a signal comes.  Raises Failure where the terminal cannot be drawn on."""
    import signal

    try:
        with _screen() as (screen, ready, resized):
            going = True
            while going:
                view.look()
                until = view.spent() + interval
                while going:
                    _draw(screen, view)
                    typed = ready(max(0.0, until - view.spent()))
                    keys = list(_keys(screen))
                    # A terminal that is gone is readable, and has nothing to read.
                    going = (not typed or bool(keys)) and all([view.press(key) for key in keys])  # noqa: C419
                    if not keys and not resized():
                        break
    except _Ended as end:
        # As if nobody had caught it, so that whoever started this sees why it ended.
        signal.signal(end.number, signal.SIG_DFL)
        os.kill(os.getpid(), end.number)


def _keys(screen: Any) -> Iterator[str]:
    """What was pressed: letters in lower case, "" for all else."""
    while (key := screen.getch()) != -1:
        yield chr(key).lower() if 0 < key < 128 else ""


def _draw(screen: Any, view: View) -> None:
    """Put the frame on the screen; what does not fit is cut."""
    import curses

    height, width = screen.getmaxyx()
    screen.erase()
    for place, line in enumerate(view.frame(width, height)):
        look = curses.A_REVERSE if line.startswith(" WAITING") else curses.A_BOLD if not place else 0
        text = line.encode(screen.encoding, "replace").decode(screen.encoding, "replace")
        try:
            screen.addnstr(place, 0, text, width, look)
        except curses.error:
            pass  # the last cell of the screen, or a wide letter that begins in it
    screen.refresh()


class _screen:
    """The terminal taken over, and given back however this ends.

    Gives the window, a function that waits up to so many seconds for a key or a signal and says whether there
    is something to read, and one that says whether the terminal's size has changed since it was last asked.
    """

    def __enter__(self) -> tuple[Any, Callable[[float], bool], Callable[[], bool]]:
        try:
            import curses
        except ImportError:
            raise Failure(UNAVAILABLE, f"this Python has no curses; {INSTEAD}") from None
        import locale
        import select
        import signal

        try:
            locale.setlocale(locale.LC_CTYPE, "")
        except locale.Error:
            pass
        self._curses = curses
        self._handlers: dict[int, Any] = {}
        self._resized = False
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        # A signal wakes the wait below at once, through the pipe.
        self._wakeup = signal.set_wakeup_fd(self._ends[1], warn_on_full_buffer=False)
        try:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                self._handlers[number] = signal.signal(number, self._end)
            self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resize)
            screen = curses.initscr()
            curses.noecho()
            curses.cbreak()
            screen.nodelay(True)
            try:
                curses.curs_set(0)
            except curses.error:
                pass  # a terminal whose cursor cannot be hidden
        except curses.error as error:
            self.__exit__()
            term = os.environ.get("TERM", "")
            raise Failure(
                UNAVAILABLE, f"this terminal (TERM={term}) cannot be drawn on: {error}; {INSTEAD}"
            ) from None
        except BaseException:
            self.__exit__()
            raise

        def ready(timeout: float) -> bool:
            found = select.select((sys.stdin, self._ends[0]), (), (), timeout)[0]
            try:
                os.read(self._ends[0], 4096)
            except BlockingIOError:
                pass
            return sys.stdin in found

        return screen, ready, self._was_resized

    def _end(self, number: int, frame: object) -> None:
        raise _Ended(number)

    def _resize(self, number: int, frame: object) -> None:
        self._resized = True

    def _was_resized(self) -> bool:
        if not self._resized:
            return False
        self._resized = False
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
            self._curses.resizeterm(max(1, lines), max(1, columns))
        except (OSError, self._curses.error):
            pass
        return True

    def __exit__(self, *_: object) -> None:
        import signal

        for number in self._handlers:
            # Until the terminal is given back nothing may come in between.
            signal.signal(number, signal.SIG_IGN)
        try:
            self._curses.endwin()
        except self._curses.error:
            pass  # it was not taken yet
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for end in self._ends:
            os.close(end)


def interval(options: Parsed) -> float:
    """Seconds between two looks.  Raises UsageError."""
    from mether.setup.units import duration

    try:
        seconds = duration(options.text("interval") or INTERVAL)
    except ValueError as error:
        raise UsageError(f"--interval: {error}") from None
    if seconds < SHORTEST:
        raise UsageError(f"--interval: at least {SHORTEST}s")
    return seconds
