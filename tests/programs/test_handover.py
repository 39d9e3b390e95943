"""Mail of who may not write into the service's queue, handed over by its Unix socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from denied import forbidden
from peer import Peer, fed

from mether.programs import behind, sendmail

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


def service(given: Path, replies: dict[str, list[str | bytes]] | None = None) -> Peer:
    """What listens there: SMTP, as with the role local."""
    made = Peer(replies, unix=str(given / "sock"))
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
        status, err = send(capsys, given, "no@example.net", "ann@example.net")
    assert (status, err) == (67, "sendmail: no@example.net: 550 5.1.1 no such user\n")
    assert peer.messages[0].recipients == ["ann@example.net"]


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
