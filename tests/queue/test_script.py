"""The canonical ``ID.sh``: what is written is read back, nothing else is, and sh does what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mether.address import Address
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome, Route
from mether.queue import script
from mether.queue.directory_state import Record, ReportOf, dump, load
from mether.queue.message import Arrival, Message, Row
from mether.reply import Reply

ID = "0123456789ABC"
CONTENT = b"Subject: hi\r\n\r\nhello\r\n"
TRACE = b"Received: from it's.example ([192.0.2.1])\r\n\tby \\here `id` $(id) with ESMTP;\r\n\tnow\r\n"
SMTP = """\
#!/bin/sh
# A smtp that keeps its arguments and input, and fails for the host named "down".
for word in "$@"; do printf '%s\\n' "$word"; done >>"$OUT/args"
printf '%s\\n' -- >>"$OUT/args"
cat >"$OUT/input"
case $* in *down*) echo '451 4.3.0 try later' >&2; exit 75;; esac
"""


def record(
    routes: list[Route],
    *,
    sender: Address | None = None,
    paths: list[Address] | None = None,
    trace: bytes = TRACE,
    **facts: object,
) -> Record:
    paths = paths or [Address(f"user{n}", "example.com") for n in range(len(routes))]
    recipients = [Recipient(path) for path in paths]
    message = Message(
        ID,
        Envelope(sender, recipients),
        Arrival(1_800_000_000.25, "ESMTP", address="192.0.2.1", helo="it's \n"),
        trace=trace,
        size=len(trace) + len(CONTENT),
        expires=1_800_400_000.0,
    )
    for name, value in facts.items():
        setattr(message, name, value)
    rows = [
        Row(number, recipient, route, next_attempt=1_800_000_000.25)
        for number, (recipient, route) in enumerate(zip(recipients, routes, strict=True))
    ]
    return Record(message, rows, octets=len(CONTENT))


class Spool:
    """A queue directory with one message in it, and a fake smtp in PATH."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queue = path / "queue"
        self.queue.mkdir()
        bin = path / "bin"
        bin.mkdir()
        (bin / "smtp").write_text(SMTP)
        (bin / "smtp").chmod(0o755)
        self.env = {"PATH": f"{bin}:{os.environ['PATH']}", "OUT": str(path)}

    def put(self, record: Record) -> None:
        (self.queue / f"{ID}.sh").write_bytes(script.render(record))
        (self.queue / f"{ID}.msg").write_bytes(CONTENT)

    def run(self, name: str = f"{ID}.sh", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["sh", name], cwd=cwd or self.queue, env=self.env, capture_output=True, timeout=30, check=False
        )

    def calls(self) -> list[list[str]]:
        text = (self.path / "args").read_text(errors="surrogateescape")
        return [call.split("\n")[:-1] for call in text.split("--\n")[:-1]]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.queue.iterdir())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_success_sends_trace_and_content_and_removes_the_files(spool: Spool) -> None:
    spool.put(record([Route("smtp", "mx.example", "me.example")], sender=Address("o'a", "b.example")))
    done = spool.run(str(spool.queue / f"{ID}.sh"), Path("/"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert spool.files() == []
    assert (spool.path / "input").read_bytes() == TRACE + CONTENT
    assert spool.calls() == [["-h", "me.example", "mx.example", "<o'a@b.example>", "<user0@example.com>"]]


def test_failure_keeps_the_files_and_appends_to_errs(spool: Spool) -> None:
    spool.put(record([Route("smtp", "down.example"), Route("smtp", "up.example")]))
    for times in (1, 2):
        done = spool.run()
        assert done.returncode == 75
        assert b"see " + ID.encode() in done.stderr
        assert (spool.queue / f"{ID}.errs").read_text() == "451 4.3.0 try later\n" * times
    assert spool.files() == [f"{ID}.errs", f"{ID}.msg", f"{ID}.sh"]
    assert len(spool.calls()) == 4


def test_one_line_for_each_next_hop(spool: Spool) -> None:
    one, two = Route("smtp", "one.example"), Route("lmtp", "host:24")
    spool.put(record([one, two, one]))
    assert spool.run().returncode == 0
    assert spool.calls() == [
        ["one.example", "<>", "<user0@example.com>", "<user2@example.com>"],
        ["lmtp:host:24", "<>", "<user1@example.com>"],
    ]


def test_a_message_that_is_locked_is_left_alone(spool: Spool) -> None:
    spool.put(record([Route("smtp", "up.example")]))
    with subprocess.Popen(
        ["flock", f"{ID}.msg", "cat"], cwd=spool.queue, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        holder.stdin.write(b"x")
        holder.stdin.flush()
        assert holder.stdout.read(1) == b"x"  # the lock is held once cat answers
        done = spool.run()
        assert done.returncode == 75
        assert b"another process" in done.stderr
        holder.stdin.close()
    assert not (spool.path / "args").exists()
    assert len(spool.files()) == 2


def test_the_lock_is_held_while_smtp_runs(spool: Spool) -> None:
    (spool.path / "bin" / "smtp").write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        f'flock -n "{spool.queue}/{ID}.msg" true && echo free >"$OUT/free"\nexit 0\n'
    )
    spool.put(record([Route("smtp", "up.example")]))
    assert spool.run().returncode == 0
    assert not (spool.path / "free").exists()


def test_damaged_content_is_not_sent(spool: Spool) -> None:
    spool.put(record([Route("smtp", "up.example")]))
    (spool.queue / f"{ID}.msg").write_bytes(CONTENT[:-3])
    done = spool.run()
    assert done.returncode == 75 and b"damaged" in done.stderr
    assert not (spool.path / "args").exists()


@pytest.mark.parametrize(
    ("route", "facts", "words"),
    [
        (Route("maildir", "local"), {}, "only runsmtpq"),
        (Route("pipe", "cmail"), {}, "only runsmtpq"),
        (Route("smtp", "unix:/run/x"), {}, "only runsmtpq"),
        (Route("smtp", "-oops"), {}, "only runsmtpq"),
        (Route("smtp", "up.example", "-helo"), {}, "only runsmtpq"),
        (Route("smtp", "up.example"), {"hold": "it's held\n$(false)"}, "on hold"),
    ],
)
def test_what_smtp_cannot_do_is_said_and_not_done(
    spool: Spool, route: Route, facts: dict[str, object], words: str
) -> None:
    made = record([Route("smtp", "up.example"), route], **facts)
    spool.put(made)
    done = spool.run()
    assert done.returncode == 75 and words.encode() in done.stderr
    assert len(spool.files()) == 2 and not (spool.path / "args").exists()
    assert [row.route for row in script.parse(script.render(made)).rows] == [
        Route("smtp", "up.example"),
        route,
    ]


def test_requiretls_is_not_dropped_by_hand(spool: Spool) -> None:
    made = record([Route("smtp", "up.example")])
    made.message.envelope.requiretls = True
    spool.put(made)
    assert spool.run().returncode == 75
    assert script.parse(script.render(made)).message.envelope.requiretls


@pytest.mark.parametrize("value", ["7", "7;X", "x;R"])
def test_a_time_of_delivery_that_is_none_is_refused(value: str) -> None:
    made = record([Route("smtp", "up.example")])
    made.message.envelope.by = By(7, "N")
    data = script.render(made).replace(b'"by":"7;N"', b'"by":"%b"' % value.encode())
    with pytest.raises(ValueError, match=r"time of delivery|invalid literal"):
        script.parse(data)


def test_a_time_of_delivery_is_not_dropped_by_hand(spool: Spool) -> None:
    """EXT-1: what must be returned in time goes to no server without DELIVERBY."""
    made = record([Route("smtp", "up.example")])
    made.message.envelope.by = By(600, "R")
    spool.put(made)
    assert spool.run().returncode == 75
    made.message.envelope.by = By(600, "N")
    spool.put(made)
    assert spool.run().returncode == 0


def test_nothing_is_released_early_by_hand(spool: Spool) -> None:
    """EXT-2: the script looks at the clock."""
    made = record([Route("smtp", "up.example")])
    made.message.release_at = time.time() + 3600.5
    spool.put(made)
    ran = spool.run()
    assert ran.returncode == 75
    assert b"not to be sent before" in ran.stderr
    made.message.release_at = time.time() - 1
    spool.put(made)
    assert spool.run().returncode == 0


def test_everything_is_read_back() -> None:
    made = record(
        [Route("smtp", "a.example"), Route("pipe", "it's"), Route("lmtp", "unix:/run/l", "me")],
        sender=Address('"a b\'c"', "example.com"),
        paths=[Address("postmaster", ""), Address("ü", "exämple.com"), Address("-x", "example.com")],
        release_at=1_800_000_600.5,
        warn_at=1_800_010_000.125,
    )
    envelope = made.message.envelope
    envelope.body, envelope.size, envelope.smtputf8, envelope.ret, envelope.envid = (
        "8BITMIME",
        9,
        True,
        "HDRS",
        "x+2B",
    )
    envelope.priority, envelope.auth, envelope.hold = -3, "a b'@example.org", "for;600"
    envelope.by = By(-7, "N", True)
    made.rows[2].warned = True
    made.rows[1].recipient.orcpt, made.rows[1].recipient.notify = "rfc822;a@b", "FAILURE,DELAY"
    made.rows[1].attempts, made.rows[1].mark, made.rows[1].suspect, made.rows[1].pinned = (
        3,
        "hold",
        True,
        True,
    )
    made.rows[1].last = Outcome(
        1,
        "delayed",
        Reply(451, "4.2.1", "zwei", "Zeilen \x00\n' ü"),
        scope="host",
        remote_mta="mx",
        at=2.5,
        uncertain=True,
    )
    made.claims, made.strikes, made.key, made.reported = 4, 2, "ab" * 16, [1, 3]
    made.report = ReportOf("0123456789ABD", 2, 1, [0, 3], warned=[1], warn_at=None)
    data = script.render(made)
    read = script.parse(data)
    assert script.render(read) == data
    assert read.message.envelope == envelope
    assert read.message.trace == TRACE
    last = read.rows[1].last
    assert last is not None and made.rows[1].last is not None
    assert last.reply == made.rows[1].last.reply and last.scope == "host" and last.uncertain
    assert (read.rows[1].attempts, read.rows[1].mark, read.rows[1].suspect) == (3, "hold", True)
    assert (read.claims, read.strikes, read.key, read.reported) == (4, 2, "ab" * 16, [1, 3])
    assert read.report is not None and read.report.gone == [0, 3] and read.report.warned
    assert read.message.arrival.helo == "it's \n" and read.message.warn_at == 1_800_010_000.125


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"up.example", b"up.example'; id; '"),
        (b"\nstatus=0\n", b"\nstatus=0\nid\n"),
        (b'"id":', b'"id": '),
        (b"exit 75; }\n", b"exit 75; }\nid\n"),
        (b"#!/bin/sh", b"#!/bin/bash"),
        (b"2>&1 || status=$?", b"2>&1 || id"),
        (b'"n":0', b'"n":"0"'),
        (b'"n":0,', b""),
        (b'"rcpt":[', b'"rcpt":[[],'),
        (b"{", b"["),
    ],
)
def test_a_changed_file_is_refused(old: bytes, new: bytes) -> None:
    data = script.render(record([Route("smtp", "up.example")]))
    assert old in data
    with pytest.raises(ValueError, match=r"."):
        script.parse(data.replace(old, new, 1))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_change_whatever_is_taken(data: st.DataObject) -> None:
    made = bytearray(script.render(record([Route("smtp", "up.example"), Route("pipe", "x")])))
    start = data.draw(st.integers(0, len(made) - 1))
    piece = data.draw(st.binary(max_size=4))
    changed = bytes(made[:start] + piece + made[start + data.draw(st.integers(0, 4)) :])
    try:
        read = script.parse(changed)
    except ValueError:
        return
    assert script.render(read) == changed


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        script.render(record([Route("smtp", "up\0.example")]))


_WORD = st.binary(max_size=20).map(
    lambda octets: octets.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@given(
    local=_WORD.filter(bool), host=_WORD, trace=st.binary(max_size=60).map(lambda b: b.replace(b"\0", b""))
)
@settings(max_examples=60, deadline=None)
def test_sh_gives_smtp_exactly_these_words(
    tmp_path_factory: pytest.TempPathFactory, local: str, host: str, trace: bytes
) -> None:
    """Whatever octets an address or trace field holds, sh hands them on unchanged and runs none of them."""
    spool = Spool(tmp_path_factory.mktemp("spool"))
    (spool.path / "bin" / "smtp").write_text(
        '#!/bin/sh\nfor word in "$@"; do printf \'%s\\0\' "$word"; done >"$OUT/args"\ncat >"$OUT/input"\n'
    )
    made = record([Route("smtp", "x" + host)], paths=[Address(local, "example.com")], trace=trace)
    spool.put(made)
    done = spool.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    words = (spool.path / "args").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    assert words == ["x" + host, "<>", f"<{local}@example.com>", ""]
    assert (spool.path / "input").read_bytes() == trace + CONTENT
    assert script.render(script.parse(script.render(made))) == script.render(made)
    shutil.rmtree(spool.path)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(_JSON)
def test_the_json_written_here_is_json(value: object) -> None:
    text = dump(value)
    assert load(text) == value
    assert text.isascii() and text.isprintable()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), b"x", "\udc80"])
def test_what_json_cannot_say(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        dump(value)


def test_json_nested_without_end_is_an_error_of_the_file() -> None:
    with pytest.raises(ValueError, match="nested"):
        load("[" * 100_000)
