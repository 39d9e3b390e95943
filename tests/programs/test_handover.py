"""Mail of who may not write into the service's queue, handed over by its Unix socket."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from denied import forbidden
from peer import OFFER, Peer, fed

from mether.programs import behind, sendmail
from mether.programs.handover import CHUNK, Lines

MESSAGE = b"From: me\nSubject: hi\n\nHello.\n"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with such a listener, and a queue that is another's."""
    config = tmp_path / "mether.toml"
    config.write_text(
        f'[service]\nhostname = "host.example.org"\n[queue]\nspool = "sqlite:{tmp_path / "spool"}"\n'
        f'[[listen]]\naddress = "unix:{tmp_path / "sock"}"\nrole = "local"\n'
    )
    monkeypatch.setenv("METHER_CONFIG", str(config))
    monkeypatch.setattr(behind, "start", lambda url, config, spool: None)
    with fed(MESSAGE):
        assert sendmail.main(["ann@example.net"]) == 0
    return tmp_path


def service(
    given: Path, replies: dict[str, list[str | bytes]] | None = None, offer: tuple[str, ...] = OFFER
) -> Peer:
    """What listens there: SMTP, as with the role local."""
    made = Peer(replies, unix=str(given / "sock"), offer=offer)
    made.lmtp = False
    (given / "sock").chmod(0o666)
    return made


def send(
    capsys: pytest.CaptureFixture[str], given: Path, *argv: str, message: bytes = MESSAGE
) -> tuple[int, str]:
    with forbidden(str(given / "spool")), fed(message):
        status = sendmail.main(list(argv))
    out, err = capsys.readouterr()
    assert not out
    return status, err


def test_it_is_handed_over(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it would have been queued: with its sender, and a header that is complete."""
    with service(given) as peer:
        assert send(capsys, given, "-f", "joe", "ann@example.net", "bob") == (0, "")
    (message,) = peer.messages
    assert message.sender == "joe@host.example.org"
    assert message.recipients == ["ann@example.net", "bob@host.example.org"]
    assert b"From: me@host.example.org\r\n" in message.content
    assert b"\r\nMessage-ID: <" in message.content


def test_a_large_message_too(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service(given) as peer:
        assert send(capsys, given, "ann@example.net", message=MESSAGE + b"x" * 70 * 1024 + b"\n") == (0, "")
    assert len(peer.messages[0].content) > 70 * 1024


def test_where_there_is_no_service_the_caller_keeps_it(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, err = send(capsys, given, "ann@example.net", "bob@example.net")
    assert status == 75
    assert err.count("\n") == 1 and f"connecting to {given / 'sock'}: No such file or directory" in err


def test_what_the_service_refuses_is_said(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with service(given, {"RCPT TO:<no@example.net>": ["550 5.1.1 no such user"]}) as peer:
        status, err = send(capsys, given, "no@example.net")
    assert (status, err) == (67, "sendmail: <no@example.net>: 550 5.1.1 no such user\n")
    assert not peer.messages


REFUSED = "RCPT TO:<no@example.net>"


def test_the_others_are_queued_and_the_sender_is_told(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when they are queued from here: 0, or the caller would send to all of them again."""
    with service(given, {REFUSED: ["550 5.1.1 no such user"]}) as peer:
        status, err = send(capsys, given, "-f", "joe", "no@example.net", "ann@example.net")
    assert (status, err) == (0, "sendmail: <no@example.net>: 550 5.1.1 no such user\n")
    message, report = peer.messages
    assert message.recipients == ["ann@example.net"]
    assert (report.sender, report.recipients) == ("", ["joe@host.example.org"])
    assert b"Final-Recipient: rfc822;no@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n" in report.content
    assert str(given).encode() not in report.content  # where its socket is is nobody's business
    assert b"\r\nSubject: hi\r\n" in report.content
    assert b"ann@example.net" not in report.content
    assert b"\r\nThere is no mailbox with this address" in report.content
    assert b" said:" not in report.content  # the service is no other host


@pytest.mark.parametrize("quiet", [("-f", "<>"), ("-N", "never"), ("-N", "delay")])
def test_who_wants_no_report_gets_none(
    given: Path, capsys: pytest.CaptureFixture[str], quiet: tuple[str, ...]
) -> None:
    notify = f" NOTIFY={quiet[1].upper()}" if quiet[0] == "-N" else ""
    with service(given, {REFUSED + notify: ["550 5.1.1 no such user"]}, (*OFFER, "DSN")) as peer:
        status, err = send(capsys, given, *quiet, "no@example.net", "ann@example.net")
    assert (status, err.count("\n"), len(peer.messages)) == (0, 1, 1)


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ({REFUSED: ["550 5.1.1 no such user"], "RCPT TO:<joe@host.example.org>": ["550 5.1.1 gone"]}, 67),
        ({REFUSED: ["451 4.3.0 cannot tell"]}, 75),
    ],
)
def test_who_is_lost_makes_the_status(
    given: Path, capsys: pytest.CaptureFixture[str], replies: dict[str, list[str | bytes]], status: int
) -> None:
    """Where the report is refused, or a recipient is neither taken nor refused for good."""
    with service(given, replies) as peer:
        assert send(capsys, given, "-f", "joe", "no@example.net", "ann@example.net")[0] == status
    assert len(peer.messages) == 1


def test_nor_can_who_has_no_place_for_a_queue(
    given: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as www-data, whose home is another's."""
    (given / "in the way").write_text("")
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{given / 'in the way' / 'spool'}")
    with service(given) as peer, fed(MESSAGE):
        assert sendmail.main(["ann@example.net"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(peer.messages) == 1


SESSION = (
    b"EHLO me\r\nMAIL FROM:<joe@host.example.org>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"
    b"Subject: hi\r\n\r\nHello.\r\n.\r\nQUIT\r\n"
)


@contextlib.contextmanager
def written() -> Iterator[list[bytes]]:
    """What is written on descriptor 1, in the end."""
    out: list[bytes] = []
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield out
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            out.append(file.read())


def speak(given: Path, text: bytes) -> tuple[int, list[bytes]]:
    """The status of sendmail -bs, and the codes of the replies."""
    with forbidden(str(given / "spool")), written() as out, fed(text):
        status = sendmail.main(["-bs"])
    return status, [line[:3] for line in out[0].splitlines() if line[3:4] == b" "]


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_session_is_carried_to_the_service(given: Path, end: bytes) -> None:
    """sendmail -bs of a user who may not queue; a person's lines end in LF."""
    with service(given) as peer:
        status, codes = speak(given, SESSION.replace(b"\r\n", end))
    assert (status, codes) == (0, [b"220", b"250", b"250", b"250", b"354", b"250", b"221"])
    (message,) = peer.messages
    assert (message.sender, message.recipients) == ("joe@host.example.org", ["ann@example.net"])
    assert message.content == b"Subject: hi\r\n\r\nHello.\r\n"


def test_a_large_session_and_one_that_ends_without_quit(given: Path) -> None:
    content = b"x" * 998 + b"\r\n"
    text = SESSION.replace(b"Hello.\r\n", content * 3000).removesuffix(b"QUIT\r\n")
    with service(given) as peer:
        status, codes = speak(given, text)
    assert (status, codes[-1]) == (0, b"250")
    assert len(peer.messages[0].content) > 3000 * 1000


def test_a_session_without_a_service_is_one_line(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speak(given, SESSION) == (75, [])
    assert capsys.readouterr().err == (
        f"sendmail: connecting to {given / 'sock'}: No such file or directory\n"
    )
    (given / "mether.toml").write_text(f'[queue]\nspool = "sqlite:{given / "spool"}"\n')
    assert speak(given, SESSION) == (75, [])
    assert "expected a [[listen]] with a unix: address" in capsys.readouterr().err


def test_lines_of_a_session() -> None:
    """As they come, in pieces; what they end in is seen at the first."""
    text = b"EHLO me\nDATA\nBDAT is a word\n\n.\nNOOP"
    for size in (1, 7, 100):
        lines = Lines()
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert b"".join(map(lines.feed, [*pieces, b""])) == text.replace(b"\n", b"\r\n")
    binary = b"EHLO me\r\nBDAT 3 LAST\r\na\nb"
    for size in (1, 9, 100):
        lines = Lines()
        pieces = [binary[at : at + size] for at in range(0, len(binary), size)]
        assert b"".join(map(lines.feed, [*pieces, b""])) == binary
    with pytest.raises(ValueError, match="BDAT counts octets"):
        Lines().feed(b"EHLO me\nBDAT 3 LAST\na\nb")
    with pytest.raises(ValueError, match="longer than"):
        Lines().feed(b"x\n" + b"y" * (CHUNK + 1))
