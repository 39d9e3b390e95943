"""A message as whoever reads bounces sees it: taken apart, with the notice that it holds and what came back.

`Message` finds where the words for a person end and the message begins that is returned, and says what the
header tells: whether a mailer wrote it, a mailing list sent it, the subject is that of a report.  Nothing
here fails, whatever the octets are; the bounds are those of `content.bounce_mime` and `content.bounce_text`.
"""

from __future__ import annotations

import re

from mether.content import bounce_mime, bounce_text
from mether.content.bounce_mime import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

DAEMON: Final = re.compile(
    r"mailer.?d[ae]+mon|mail.?daemon|mail(?:er)? deliver|post.?master|mdaemon|maildelivery"
    r"|delivery (?:sub)?system"
    r"|mail (?:system|server|administrator|admin)|system administrator|internet mail (?:delivery"
    r"|service)|interscan"
    r"|mail.?router|mail.?gateway|mta.?admin|no-?reply@sns\.amazonaws|exchange server|message router"
    r"|mailsweeper|anti-?virus|virus.?wall|smtp.?gateway|mail.?service|(?:mail|content).?filter|\b(?:mta|ndr)\b",
    re.IGNORECASE,
)
SUBJECT: Final = re.compile(
    r"undeliver|deliver(?:y|ed)?\b.{0,40}\b(?:status|fail|problem|notif|report|error|delay|impossible"
    r"|incomplete|subsystem)"
    r"|(?:fail(?:ed|ure)?|error|problem|unable|could not|not|warning|non).{0,30}\b(?:deliver"
    r"|be delivered|send message|be sent)"
    r"|(?:failure|delivery|bounce) notice|failure notification|returned (?:e-?)?mail|returned to sender"
    r"|mail (?:failed|failure|error|returned)"
    r"|returning (?:to|message)|rejected mail|rejected message|automatically rejected|mail system error"
    r"|warning: (?:could|message)|message (?:status|delayed)"
    r"|nondeliver|non.?deliver|undelivered|bounced mail|errors? from|bounce|failed mail|mail error"
    r"|unzustellbar|nicht zugestellt|zustellung|non remis|[ée]chec|no entregad|no se pudo entregar"
    r"|n[ãa]o entreg|n[ãa]o foi"
    r"|mancata consegna|non consegnat|onbestelbaar|nicht übermittelt|недостав|не доставлен"
    r"|не может быть доставлено"
    r"|no se (?:puede|pudo|ha podido) entregar|error de entrega|devuelto|impossibile recapitare"
    r"|recapito non|mancato recapito|n[ãa]o (?:é|e) poss[ií]vel entregar|falha na entrega|devolvid"
    r"|kunde inte levereras|(?:kan|kunne|kunde) ikke leveres|ei voitu toimittaa|niedostarcz"
    r"|nie mo[żz]na dostarczy|nedoru[čc]|nelze doru[čc]|teslim edilemedi|iletilemedi|k[ée]zbes[íi]thetetlen"
    r"|エラー|配信でき|送信でき|届きません|不達|退信|退回|无法|無法|실패|반송",
    re.IGNORECASE,
)
TITLE: Final = re.compile(
    r"^[\W_]*(?:non-?delivery|undeliver\w+|mail delivery|delivery (?:status|failure))[\w ]{0,20}"
    r"(?:report|notification|notice|message)",
    re.IGNORECASE,
)
"""A heading that only reports have."""
AWAY: Final = re.compile(
    r"out of (?:the )?office|auto(?:matic(?:ally)?|mated)?[ -]?(?:reply|response|respond|answer)"
    r"|autoresponse|vacation|away from|on leave|abwesen"
    r"|r[ée]ponse automatique|respuesta autom"
    r"|risposta automatica|automatische antwort|自動応答|自動返信|不在",
    re.IGNORECASE,
)
ANSWER: Final = re.compile(r"^\s*(?:re|aw|sv|fw|fwd|antw|tr)\s*(?:\[\d+\])?:", re.IGNORECASE)
_PATHS: Final = ("return-path", "x-envelope-from", "envelope-from", "x-envelope-sender")
LISTS: Final = ("list-id", "list-post", "list-unsubscribe", "x-beenthere", "x-mailing-list", "mailing-list")
"""Fields of mail that went to more than its To field says."""


class Message:
    """A message taken apart: its header, its parts, and the notice that it holds.

    `notice` is the lines that a person is meant to read, `came_back` the message that is returned and
    `returned` that one's header, both empty where there is none.  `sender` and `subject` are the fields.
    """

    __slots__ = (
        "auto",
        "came_back",
        "header",
        "kind",
        "notice",
        "parameters",
        "parts",
        "returned",
        "sender",
        "subject",
    )

    def __init__(self, data: bytes) -> None:
        section, body = bounce_mime.split(bounce_mime.unix(data))
        self.header = Fields(section)
        self.kind, self.parameters = bounce_mime.content_type(self.header.get("content-type"))
        self.parts = bounce_mime.parts(self.header, body)
        self.sender = self.header.get("from")
        self.subject = self.header.get("subject")
        self.auto = self.header.get("auto-submitted").lower()
        self.notice: list[str] = []
        self.came_back = b""
        self.returned = Fields(b"")
        self._find()

    def _find(self) -> None:
        """Where the notice ends and what came back begins."""
        seen = False
        left = bounce_text.MAX_TEXT
        for part in self.parts:
            if part.is_message:
                if not self.returned.raw:
                    self.came_back = part.data.lstrip(b"\n")
                    header, _ = bounce_mime.split(self.came_back)
                    self.returned = Fields(header)
                seen = True
            elif part is not self.parts[0] and "received" in part.fields and "from" in part.fields:
                # It stands there as a part without a header of that part's own.
                self.returned, seen = part.fields, True
            elif part.kind.startswith("text/") and not seen and left > 0:
                if part.within == "multipart/alternative" and self.notice and part.kind == "text/html":
                    continue
                text = bounce_text.lines(part.text, left)
                left -= len(part.text)
                end = bounce_text.notice(text)
                self.notice += ["", *text[:end]]
                if end < len(text) and not self.returned.raw:
                    self.returned = _fields_within(text[end:])
                    seen = bool(self.returned.raw)

    @property
    def is_daemon(self) -> bool:
        """Whether a mailer wrote it, by its From, or a mailing list's server."""
        return self.is_surely_daemon or DAEMON.search(self.sender) is not None

    @property
    def is_surely_daemon(self) -> bool:
        """Whether nobody but a mailer signs so."""
        sender = self.sender.lower()
        if "x-mlserver" in self.header and "-admin@" in sender:
            return True  # fml, which refuses articles
        return "daemon" in sender or not bounce_text.addresses(sender)

    @property
    def has_null_path(self) -> bool:
        """Whether it came from the null reverse-path (RFC 5321 section 4.5.5), as far as its header tells."""
        return any(self.header.get(name).replace(" ", "") == "<>" for name in _PATHS)

    @property
    def is_of_list(self) -> bool:
        """Whether a mailing list sent it."""
        return any(name in self.header for name in LISTS)

    @property
    def names_failure(self) -> bool:
        """Whether its subject is that of a report."""
        return SUBJECT.search(self.subject) is not None

    @property
    def is_answer(self) -> bool:
        """Whether its subject is that of an answer, or of a message sent on."""
        return ANSWER.match(self.subject) is not None


def _fields_within(lines: Sequence[str]) -> Fields:
    """The header of a message that came back within a text."""
    start = next(
        (at for at, line in enumerate(lines[:12]) if re.match(r"[A-Za-z][A-Za-z0-9-]*\s*:", line)), len(lines)
    )
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return Fields("\n".join(lines[start:end]).encode("utf-8", "replace"))
