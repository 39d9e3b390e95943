"""The part of a report that people read: what happened, to whom, what was said, and what comes next.

One section for each thing that became of recipients, the worst first, and in it one for each kind of
trouble: what it is, the addresses with what was said of each, what was done and will be, and what the sender
can do.  The words are `Texts`, in each of its languages one after the other; `words_kind` says which.

What other servers said, what a person remarks, and what the message says of itself, is quoted: on lines that
begin with ``>``, without control characters, cut to a bounded length, so that it is never taken for words of
our own.  Times are written as digits, the same in any language.  The part is ASCII where it can be, else
UTF-8 in quoted-printable; its Content-Language (RFC 3282) names the languages.  Nothing here fails.
"""

from __future__ import annotations

from mether.content import lines
from mether.content.status import MAX_QUOTED
from mether.content.trace import civil
from mether.content.words_kind import kind
from mether.content.words_texts import Texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.content.classify import Rules
    from mether.content.status import Item

_HEADINGS: Final = (
    "failed",
    "failed: uncertain",
    "delayed",
    "delayed: uncertain",
    "delivered",
    "relayed",
    "expanded",
)
"""What stands above the sections, in the order in which they come.  Nobody is told of the same recipient that
it has got nothing, and that it may have."""

_SHORT: Final = ("failed", "delayed", "delivered", "relayed", "expanded")
"""Actions that have a word in each language."""

_QUOTE: Final = "    > "
MAX_REMARK: Final = 20
"""Lines of a person's remark."""
MAX_LISTED: Final = 100
"""Recipients that are named, in each language, of those of whom the same is to be told."""


class Facts:
    """What every text may name.

    `mta` is our name, `postmaster` whom people may ask, `ident` the original's queue id and `arrival` when it
    came (Unix seconds); `offset` is local time's lead over UTC in seconds.
    """

    __slots__ = ("ident", "offset", "values")

    def __init__(self, *, mta: str, postmaster: str, ident: str, arrival: float, offset: int = 0) -> None:
        self.ident = ident
        self.offset = offset
        self.values = {
            "mta": lines.clean(mta),
            "postmaster": lines.clean(postmaster),
            "id": lines.clean(ident),
            "arrival": when(arrival, offset),
        }


def subject(items: Sequence[Item], texts: Texts, facts: Facts, *, notice: bool = False) -> str:
    """The subject of the report, in its first language: by the worst that it tells."""
    actions = {item.outcome.action for item in items}
    worst = "failed" if "failed" in actions else "delayed" if "delayed" in actions else "done"
    return _subject("notice" if notice else worst, texts, facts)


def part(
    items: Sequence[Item],
    texts: Texts,
    facts: Facts,
    *,
    complete: bool = False,
    notice: bool = False,
    rules: Rules | None = None,
    remark: str | None = None,
    original: Sequence[str] = (),
) -> bytes:
    """The part with its header.

    `complete` tells whether the original is attached in full; a `notice` is for the postmaster.  `rules` and
    `remark` are those of `dsn.report`; `original` are lines of the original's header by which it is known.
    """
    groups = _groups(items, rules, returned=remark is not None)

    def body(say: _Say) -> list[str]:
        out: list[str] = []
        for heading in _HEADINGS:
            those = [one for one in groups if one.heading == heading]
            if those:
                out += [""] if out else []
                out += ["", *say("notice" if notice and heading.startswith("failed") else heading)]
            for one in those:
                out += ["", *_about(one, say, remark, advise=not notice)]
        out += ["", *say("full" if complete else "header"), *(say("id") if facts.ident else ())]
        return [*out, "", *say("original"), *_quoted(original)] if original else out

    return _part(texts, facts, body)


def merged_subject(count: int, texts: Texts, facts: Facts) -> str:
    """The subject of so many reports in one message."""
    return _subject("merged", texts, facts, count=str(count))


class Told:
    """What the text over many reports says of a recipient: the report's `number`, the `action`, the `status`
    and the `original` recipient as the field has it, "" where that is the same."""

    __slots__ = ("action", "number", "original", "recipient", "status")

    def __init__(self, number: int, recipient: str, action: str, status: str, original: str = "") -> None:
        self.number = number
        self.recipient = recipient
        self.action = action
        self.status = status
        self.original = original


def merged(count: int, those: Sequence[Told | str], texts: Texts, facts: Facts) -> bytes:
    """The part, with its header, of so many reports in one message; `those` are the recipients, and lines to
    stand between them."""

    def body(say: _Say) -> list[str]:
        out = ["", *say("merged", count=str(count)), ""]
        for one in those:
            if isinstance(one, str):
                out.append(one)
                continue
            short = say(f"in short: {one.action}")[0] if one.action in _SHORT else lines.clean(one.action)
            line = f"{one.number}. <{lines.clean(one.recipient)}>: {short} ({lines.clean(one.status)})"
            out += lines.wrap(line, "", "    ")
            out += _quoted([f"Original-Recipient: {one.original}"]) if one.original else []
        return out

    return _part(texts, facts, body, of_many=True)


def _subject(key: str, texts: Texts, facts: Facts, **more: str) -> str:
    return texts.find(texts.languages[0], f"subject: {key}").format_map({**facts.values, **more})


def _part(texts: Texts, facts: Facts, body: Callable[[_Say], list[str]], *, of_many: bool = False) -> bytes:
    """A part with its header: in each language the opening and what `body` says."""
    several = len(texts.languages) > 1
    out: list[str] = []
    if several:
        out += lines.wrap(" / ".join(texts.find(one, "name") for one in texts.languages), "", "")
    for language in texts.languages:
        say = _Say(texts, language, facts, of_many=of_many)
        if several:
            out += ["", f"=== {texts.find(language, 'name')} ===", ""]
        out += [*say("opening"), *body(say)]
    text = "\r\n".join(out) + "\r\n"
    head = f"Content-Language: {', '.join(texts.languages)}\r\n"
    if text.isascii():
        return f"Content-Type: text/plain; charset=us-ascii\r\n{head}\r\n{text}".encode()
    head += "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    return f"Content-Type: text/plain; charset=utf-8\r\n{head}".encode() + lines.quoted_printable(
        text.encode("utf-8", "replace")
    )


class _Group:
    """Items of which the same is to be told: the `kind` of trouble ("" for none), and what was done."""

    __slots__ = ("action", "attempts", "expired", "items", "kind", "until")

    def __init__(self, item: Item, kind: str) -> None:
        self.action = item.outcome.action
        self.kind = kind
        self.attempts = item.attempts
        self.expired = self.action == "failed" and item.outcome.reply.temporary
        self.until = item.will_retry_until if self.action == "delayed" else None
        self.items: list[Item] = []

    @property
    def heading(self) -> str:
        """The key of what stands above it: the action, and the doubt where there is one."""
        return f"{self.action}: {self.kind}" if self.kind == "uncertain" else self.action

    @property
    def key(self) -> tuple[object, ...]:
        return (self.action, self.kind, self.attempts, self.expired, self.until)


def _groups(items: Sequence[Item], rules: Rules | None, *, returned: bool) -> list[_Group]:
    found: dict[tuple[object, ...], _Group] = {}
    for item in items:
        trouble = item.outcome.action in ("failed", "delayed")
        made = _Group(item, kind(item.outcome, rules, returned=returned) if trouble else "")
        found.setdefault(made.key, made).items.append(item)
    return list(found.values())


class _Say:
    """The texts of one language, with `facts` in the place of placeholders."""

    __slots__ = ("_language", "_of_many", "_texts", "_values", "offset")

    def __init__(self, texts: Texts, language: str, facts: Facts, *, of_many: bool = False) -> None:
        self._of_many = of_many
        self._texts = texts
        self._language = language
        self._values = facts.values
        self.offset = facts.offset

    def __call__(self, *keys: str, indent: str = "", **more: str) -> list[str]:
        """The lines of these texts, one behind the other; none for texts that are empty."""
        # The placeholders were checked when the text was read.
        values = {**self._values, **more}
        texts = [
            self._texts.find(self._language, key, of_many=self._of_many).format_map(values) for key in keys
        ]
        out: list[str] = []
        for number, paragraph in enumerate(" ".join(filter(None, texts)).split("\n")):
            if paragraph:
                out += [""] * (number > 0) + lines.wrap(paragraph, indent, indent)
        return out


def _about(group: _Group, say: _Say, remark: str | None, *, advise: bool) -> list[str]:
    """The lines about some recipients."""
    out = say(group.kind) if group.kind else []
    if group.kind == "returned" and remark:
        out += ["", *say("remark"), *_quoted(remark.splitlines()[:MAX_REMARK])]
    if out:
        out.append("")
    for item in group.items[:MAX_LISTED]:
        outcome = item.outcome
        out.append(f"<{lines.clean(str(item.recipient.forward_path))}>:")
        if outcome.said:
            out += say("said", indent="    ", server=lines.clean(outcome.remote_mta)[:MAX_QUOTED])
        else:
            out += say("ours", indent="    ")
        out += _quoted([str(outcome.reply)])
    if len(group.items) > MAX_LISTED:
        out += ["", *say("more", count=str(len(group.items) - MAX_LISTED))]
    done = _done(group, say)
    if done:
        out += ["", *done]
    if advise and group.action == "failed" and (advice := say(f"{group.kind}: advice")):
        out += ["", *advice]
    return out


def _done(group: _Group, say: _Say) -> list[str]:
    """The lines on what was done for these recipients, and what will be."""
    keys, more = [], {}
    last = max(item.outcome.at for item in group.items)
    if not group.kind:
        return []
    if group.attempts and last and group.kind != "suppressed":
        keys.append("tries")
        more = {"tries": str(group.attempts), "last": when(last, say.offset)}
    if group.until is not None:
        keys.append("waits")
        more["until"] = when(group.until, say.offset)
    elif group.action == "failed" and group.kind not in ("returned", "suppressed"):
        keys.append("expired" if group.expired else "final")
    return say(*keys, **more)


def _quoted(said: Iterable[str]) -> list[str]:
    out, room = [], MAX_QUOTED
    for line in said:
        line = lines.clean(line[:room])
        room -= len(line)
        out += lines.wrap(line, _QUOTE, _QUOTE) if line.strip() else []
    return out


def when(at: float, offset: int) -> str:
    """A time, given in Unix seconds and with local time's lead over UTC, as ``2026-01-31 14:05 +0100``."""
    local = int(at) + offset
    days, seconds = divmod(local, 86400)
    year, month, day = civil(days)
    sign, lead = ("-" if offset < 0 else "+"), abs(offset) // 60
    return (
        f"{year:04d}-{month:02d}-{day:02d} {seconds // 3600:02d}:{seconds // 60 % 60:02d} "
        f"{sign}{lead // 60:02d}{lead % 60:02d}"
    )
