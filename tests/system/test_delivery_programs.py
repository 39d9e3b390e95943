"""The programs of docs/delivery.md that hand mail to others, procmail for each user, and mutt as a reader."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import smtplib
import subprocess
from pathlib import Path

import peers
from peers import until
from test_delivery import AsRoot, base, running, settings, wrapped

from conftest import BIN, _lacking, _peer

__all__ = ["base", "running"]
"""Fixtures of another module."""

SENDER = "ann@example.org"
MESSAGE = b"From: <ann@example.org>\r\nTo: <bob@example.com>\r\nSubject: hello\r\n\r\nbody\r\n"


def send(port: int, *recipients: str, sender: str = SENDER) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail(sender, recipients, MESSAGE)


def without_loops(command: list[str], *, more: str = "") -> str:
    """A service that pipes all mail into this, without a field that our own sendmail would meet again."""
    return settings(command).replace('delimiter = "+"', f"delivered_to = false\n{more}")


BEHIND = """
[service]
hostname = "behind.example.test"
[queue]
spool = "sqlite:{base}/spool"
[[route]]
maildir = "{base}/box"
"""


def behind(place: Path) -> Path:
    """The configuration of another queue of ours, which nothing works."""
    place.mkdir()
    config = place / "mether.toml"
    config.write_text(BEHIND.format(base=place))
    return config


def test_our_own_sendmail(smtpd, mether, tmp_path: Path) -> None:
    """As the way back from a filter: one run for all recipients, null reverse-path and hyphens included."""
    config = behind(tmp_path / "behind")
    arguments = ["-C", str(config), "-odq", "-i", "-f", "{sender}", "--", "{recipients}"]
    daemon = smtpd(without_loops([str(BIN / "sendmail"), *arguments]))
    send(daemon.port, "bob@example.com", "-froot@example.com")
    send(daemon.port, "eve@example.com", sender="")
    until(lambda: daemon.log().count("status=sent") == 3)
    listed = mether("smtpq", "-C", str(config), "--json").stdout.decode()
    assert len(listed.splitlines()) == 2
    for address in ("ann@example.org", "bob@example.com", "-froot@example.com", "eve@example.com"):
        assert f'"{address}"' in listed
    until(lambda: "eve@example.com" in daemon.log())


# For its postdrop to find the unpacked libraries.
EXPORT = "export_environment = TZ MAIL_CONFIG LANG LD_LIBRARY_PATH\n"


def test_sendmail_of_postfix(smtpd, postfix, smtp_sink) -> None:
    """The example of docs/delivery.md, with the null reverse-path too."""
    sink = smtp_sink()
    other = postfix(main=f"relayhost = [127.0.0.1]:{sink.port}\n{EXPORT}")
    program = str(other.places["commands"] / "sendmail")
    env = ["env", f"LD_LIBRARY_PATH={peers.libraries()}", f"MAIL_CONFIG={other.base}/etc"]
    daemon = smtpd(without_loops([*env, program, "-i", "-f", "{sender}", "--", "{recipients}"]))
    send(daemon.port, "bob@example.com", "eve@example.com")
    send(daemon.port, "dan@example.com", sender="")
    until(lambda: len(sink.messages()) == 2 or "status=deferred" in daemon.log() + other.log())
    texts = sorted(sink.messages(), key=len)
    assert len(texts) == 2, daemon.log() + other.log()
    assert "X-Mail-Args: <>" in texts[0]
    assert "X-Mail-Args: <ann@example.org>" in texts[1]
    assert "X-Rcpt-Args: <bob@example.com>" in texts[1]
    assert "X-Rcpt-Args: <eve@example.com>" in texts[1]


# Postfix's rmail runs /usr/lib/sendmail and Sendmail's runs /usr/sbin/sendmail; both are ours here, in a
# namespace, so that the system never sees it.
UUX = """#!/bin/sh
for last; do :; done
last=${last#(}
exec unshare --mount /bin/sh -c '
    mount --make-rprivate / && mount -t overlay none -o "lowerdir=$1:/usr/lib" /usr/lib &&
    mount -t overlay none -o "lowerdir=$1:/usr/sbin" /usr/sbin && exec "$2" "$3"
' sh PLACE RMAIL "${last%)}"
"""
SENDMAIL = """#!/bin/sh
exec PROGRAM -C CONFIG "$@"
"""
TRY = ["unshare", "--mount", "mount", "-t", "overlay", "none", "-o"]


def test_rmail(smtpd, mether, tmp_path: Path) -> None:
    """Behind a uux without a far end: what it would carry there rmail reads, and our own sendmail takes."""
    place = tmp_path / "lib"
    place.mkdir()
    tried = [*TRY, f"lowerdir={place}:/usr/lib", "/usr/lib"]
    if subprocess.run(tried, check=False, capture_output=True).returncode:
        _lacking("rmail finds its sendmail in a namespace of root, under an overlay")
    config = behind(tmp_path / "behind")
    sendmail, uux = place / "sendmail", tmp_path / "uux"
    sendmail.write_text(SENDMAIL.replace("PROGRAM", str(BIN / "sendmail")).replace("CONFIG", str(config)))
    uux.write_text(UUX.replace("PLACE", str(place)).replace("RMAIL", _peer("rmail")))
    for script in (sendmail, uux):
        script.chmod(0o755)
    command = [str(uux), "-", "-r", "-a{sender}", "neighbour!rmail", "({recipient})"]
    daemon = smtpd(without_loops(command, more="from_line = true"))
    send(daemon.port, "bob@example.com")
    send(daemon.port, "eve@example.com", sender="")
    until(lambda: daemon.log().count("status=") == 2)
    assert daemon.log().count("status=sent") == 2, daemon.log()
    # Postfix's has it queued (-odq), Sendmail's delivered at once (-odi).
    listed = mether("smtpq", "-C", str(config), "--json").stdout.decode()
    listed += "".join(path.read_text() for path in (tmp_path / "behind" / "box" / "new").glob("*"))
    assert "ann@example.org" in listed
    assert "bob@example.com" in listed
    assert "MAILER-DAEMON@behind.example.test" in listed, "what UUCP has for nobody"
    assert "eve@example.com" in listed


def test_deliver_of_cyrus(smtpd, dovecot, tmp_path: Path) -> None:
    """It speaks LMTP to a store, for which Dovecot's stands here."""
    config = tmp_path / "imapd.conf"
    config.write_text(f"configdirectory: {tmp_path}\nlmtpsocket: {dovecot.lmtp}\ncyrus_user: root\n")
    command = wrapped("cyrus-deliver", tmp_path)
    daemon = smtpd(settings([*command, "-C", str(config), "-r", "{sender}", "--", "{user}"]))
    send(daemon.port, "bob@example.com", "nosuchuser@example.com", "full@example.com")
    until(lambda: daemon.log().count("status=") == 3)
    assert daemon.log().count("status=sent") == 1, daemon.log()
    [message] = dovecot.mailbox("bob")
    assert b"Return-Path: <ann@example.org>" in message


PROCMAILRC = """
MAILDIR=$HOME/Mail
DEFAULT=$HOME/Mail/
LOGFILE=$HOME/log
"""

AS_USERS = """
[service]
hostname = "mx.example.test"
user = "daemon"
[queue]
spool = "sqlite:BASE/spool"
[[listen]]
address = "127.0.0.1:{port}"
role = "local"
[[route]]
pipe = ["BASE/procmail", "-t", "-f", "{{sender}}", "-d", "{{user}}"]
users = ["passwd"]
as_user = true
[retry]
intervals = ["1h"]
"""


class WithAccounts(AsRoot):
    """With accounts of its own: files of its base stand for the system's, in a namespace."""

    def before(self) -> list[str]:
        binds = "".join(f"mount --bind {self.base}/{name} /etc/{name} && " for name in ("passwd", "group"))
        script = f'mount --make-rprivate / && {binds} exec "$@"'
        return ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]


def test_procmail_for_each_user(base: Path, running: list) -> None:
    """docs/delivery.md: with the user's own .procmailrc."""
    shutil.copy(_peer("procmail"), base / "procmail")
    uids = {"ann": 65531, "bob": 65532}
    for name, uid in uids.items():
        home = base / name
        home.mkdir()
        (home / ".procmailrc").write_text(PROCMAILRC)
        for path in (home, home / ".procmailrc"):
            os.chown(path, uid, uid)
            path.chmod(0o700)
    lines = [f"{name}:x:{uid}:{uid}::{base}/{name}:/bin/sh\n" for name, uid in uids.items()]
    (base / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(lines))
    groups = [f"{name}:x:{uid}:\n" for name, uid in uids.items()]
    (base / "group").write_text(Path("/etc/group").read_text() + "".join(groups))
    daemon = WithAccounts(base, AS_USERS.replace("BASE", str(base)))
    running.append(daemon)
    daemon.send("ann@example.com", "bob@example.com")
    until(lambda: daemon.log().count("status=") == 2)
    assert daemon.log().count("status=sent") == 2, daemon.log()
    for name, uid in uids.items():
        [file] = (base / name / "Mail" / "new").iterdir()
        assert file.stat().st_uid == uid
        assert f"Delivered-To: {name}@example.com\n" in file.read_text()


STORES = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:{base}/spool"
[[listen]]
address = "127.0.0.1:{port}"
role = "local"
[[route]]
domains = ["maildir.example"]
maildir = "{base}/maildir"
[[route]]
domains = ["mbox.example"]
maildir = "{base}/unused"
aliases = ["{base}/aliases"]
alias_files = true
"""


def test_mutt_reads_what_we_write(smtpd, tmp_path: Path) -> None:
    """A Maildir, and an mbox file with a line that looks like the beginning of another message."""
    mutt = _peer("mutt")
    text = b"Subject: hello\r\n\r\nFrom here\r\n>From there\r\nend\r\n"
    daemon = smtpd(STORES)
    (daemon.base / "aliases").write_text(f"bob: {daemon.base}/mbox\n")
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        for subject in (b"hello", b"again"):
            both = ["bob@maildir.example", "bob@mbox.example"]
            client.sendmail(SENDER, both, text.replace(b"hello", subject))
    until(lambda: daemon.log().count("status=sent") == 4)
    for kind in ("maildir", "mbox"):
        printed = read(mutt, daemon.base / kind, tmp_path / f"{kind}.out")
        assert printed.count("Return-Path: <ann@example.org>") == 2
        assert f"Delivered-To: bob@{kind}.example" in printed or kind == "mbox"
        assert sorted(line for line in printed.splitlines() if line.startswith("Subject:")) == [
            "Subject: again",
            "Subject: hello",
        ]
        assert printed.count("end\n") == 2
        assert printed.count("From there\n") == 2


def read(mutt: str, box: Path, out: Path, *, decoded: bool = False) -> str:
    """All messages of a box, as mutt reads them, or with `decoded` as it shows them.

    It needs a terminal, and is given one.
    """
    rules = out.with_suffix(".rc")
    rules.write_text(
        f"set pipe_decode={'yes' if decoded else 'no'} charset=utf-8 wait_key=no quit=yes sort=date\n"
        f"set folder={box.parent} spoolfile={box}\n"
        f'push "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >{out}<enter><quit>"\n'
    )
    pid, terminal = pty.fork()
    if not pid:
        try:
            env = peers.environment(TERM="ansi", HOME=str(out.parent))
            os.execve(mutt, ["mutt", "-n", "-F", str(rules), "-R", "-f", str(box)], env)
        finally:
            os._exit(127)
    shown = b""
    signal.alarm(60)
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # how a terminal tells that its last process has ended
        pass
    finally:
        signal.alarm(0)
        os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert status == 0, shown[-2000:].decode(errors="replace")
    return out.read_text()
