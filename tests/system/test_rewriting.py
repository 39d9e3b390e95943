"""Mail that goes out under other addresses, from our service to a server of others (docs/rewriting.md)."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peers
import pytest
from certificates import pair
from servers import Aiosmtpd

BIN = Path(sys.executable).parent
SECONDS = 60.0
MESSAGE = 'From: "Ann, of host" <{0}> (her (own))\r\nTo: Bob <bob@example.org>\r\nSubject: {0}\r\n\r\n{0}\r\n'


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Aiosmtpd]:
    server = Aiosmtpd(*pair(tmp_path, "localhost"))
    yield server
    server.stop()


@contextmanager
def service(tmp_path: Path, text: str) -> Iterator[smtplib.SMTP]:
    """Our service with these routes, and a session with it."""
    port = peers.free_port()
    secret = tmp_path / "secret"
    secret.write_text("tops3cr3t\n")
    secret.chmod(0o600)
    config = tmp_path / "mether.toml"
    config.write_text(
        f'[service]\nhostname = "mx.example.org"\n[queue]\nspool = "sqlite:spool"\n'
        f'[[listen]]\naddress = "127.0.0.1:{port}"\n{text}'
    )
    running = subprocess.Popen([BIN / "smtpd", "-C", config], stderr=subprocess.PIPE)
    assert running.stderr is not None
    try:
        for line in running.stderr:
            if b"listening" in line:
                break
        with smtplib.SMTP("127.0.0.1", port) as session:
            yield session
    finally:
        running.terminate()
        running.wait(SECONDS)
        running.stderr.close()


def came(sink: Aiosmtpd, count: int) -> tuple[str, list[str], str]:
    """Wait for so many messages; the last one's reverse-path, forward-paths and content."""
    end = time.monotonic() + SECONDS
    while len(sink.envelopes) < count:
        assert time.monotonic() < end, sink.log()
        time.sleep(0.02)
    envelope = sink.envelopes[count - 1][0]
    return envelope.mail_from, envelope.rcpt_tos, envelope.content.decode()


def test_the_envelope_and_the_header_of_what_goes_out(tmp_path: Path, sink: Aiosmtpd) -> None:
    """Masquerading and a map; what arrives differs in the addresses alone, and SIZE was right."""
    text = (
        f'[[route]]\nsmtp = "127.0.0.1:{sink.port}"\nmasquerade = ["example.org"]\n'
        'masquerade_exceptions = ["root"]\nrewrite = { "joe@host.example.org" = "joe.smith@example.net" }\n'
    )
    with service(tmp_path, text) as session:
        for number, (sender, shown) in enumerate(
            {
                "ann@host.example.org": "ann@example.org",
                "joe@host.example.org": "joe.smith@example.net",
                "root@host.example.org": "root@host.example.org",
            }.items(),
            1,
        ):
            session.sendmail(sender, ["eve@e.example"], MESSAGE.format(sender))
            reverse_path, recipients, content = came(sink, number)
            assert (reverse_path, recipients) == (shown, ["eve@e.example"])
            wanted = MESSAGE.format(sender).replace(f"<{sender}>", f"<{shown}>")
            assert content.partition("From: ")[2] == wanted.partition("From: ")[2]


def test_mail_that_is_sent_on_and_the_report_of_it(tmp_path: Path, sink: Aiosmtpd) -> None:
    """SRS: a reverse-path of ours, by which a report comes back from anybody, and nobody else's mail."""
    text = (
        'relay_from = []\n[srs]\ndomain = "fwd.example.org"\nsecret_file = "secret"\n'
        '[[route]]\ndomains = ["example.org"]\nforward = ["bob@else.example"]\n'
        f'[[route]]\nsmtp = "127.0.0.1:{sink.port}"\nsrs = true\n'
    )
    with service(tmp_path, text) as session:
        session.sendmail("ann@example.net", ["bob@example.org"], MESSAGE.format("ann@example.net"))
        reverse_path, recipients, content = came(sink, 1)
        assert reverse_path.startswith("SRS0=") and reverse_path.endswith("=example.net=ann@fwd.example.org")
        assert recipients == ["bob@else.example"]
        assert '"Ann, of host" <ann@example.net> (her (own))\r\n' in content
        session.sendmail("", [reverse_path], "Subject: a report\r\n\r\n")
        assert came(sink, 2)[:2] == ("<>", ["ann@example.net"])
        forged = reverse_path.replace("=ann@", "=eve@")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            session.sendmail("", [forged], "Subject: spam\r\n\r\n")
        assert refused.value.recipients[forged][0] == 550
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            session.sendmail("ann@example.net", ["eve@e.example"], "Subject: spam\r\n\r\n")


def test_our_own_report_about_mail_that_was_sent_on_reaches_its_author(
    tmp_path: Path, sink: Aiosmtpd
) -> None:
    text = (
        'relay_from = []\n[srs]\ndomain = "fwd.example.org"\nsecret_file = "secret"\n'
        '[[route]]\ndomains = ["example.org"]\nforward = ["bob@refused.example"]\n'
        f'[[route]]\nsmtp = "127.0.0.1:{sink.port}"\nsrs = true\n'
    )
    with service(tmp_path, text) as session:
        session.sendmail("ann@example.net", ["bob@example.org"], MESSAGE.format("ann@example.net"))
        reverse_path, recipients, content = came(sink, 1)
        assert (reverse_path, recipients) == ("<>", ["ann@example.net"])
        assert "550 5.1.1 no such user here" in content and "SRS0=" not in content
