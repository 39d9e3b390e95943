"""Answers that are kept for some time: so many of them, and no longer than they hold."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

MOST: Final = 10_000
"""Answers that one table keeps."""


class Answer:
    """What was found: a `value`, None for nothing, or the `trouble` that there was with asking."""

    __slots__ = ("trouble", "until", "value")

    def __init__(self, value: str | None, until: float, trouble: str = "") -> None:
        self.value = value
        self.until = until
        self.trouble = trouble


class Kept:
    """Answers by their keys, for `seconds` each; the oldest go first when there are `most`."""

    __slots__ = ("_answers", "_clock", "_most", "_seconds")

    def __init__(self, seconds: float, clock: Callable[[], float], most: int = MOST) -> None:
        self._seconds = seconds
        self._clock = clock
        self._most = most
        self._answers: dict[str, Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Answer | None:
        """The answer, None when there is none or it holds no longer."""
        answer = self._answers.get(key)
        if answer is not None and self._clock() >= answer.until:
            del self._answers[key]
            return None
        return answer

    def put(self, key: str, value: str | None, seconds: float | None = None) -> str | None:
        """Keep a value, for other `seconds` than most; gives it back."""
        self._add(key, Answer(value, self._clock() + (self._seconds if seconds is None else seconds)))
        return value

    def fail(self, key: str, trouble: str, seconds: float) -> None:
        """Keep that there was trouble."""
        self._add(key, Answer(None, self._clock() + seconds, trouble))

    def forget(self, key: str) -> None:
        """Keep nothing of the key."""
        self._answers.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._answers.clear()

    def _add(self, key: str, answer: Answer) -> None:
        self._answers.pop(key, None)
        if len(self._answers) >= self._most:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer
