"""A private OpenSMTPD, in a root directory of its own: takes mail for any domain, and keeps it."""

from __future__ import annotations

import re
from pathlib import Path

import peers
from jail import Jail

LOGIN, PASSWORD = "ann@example.test", "secret"
HASHED = (  # openssl passwd -6 secret
    "$6$6IiGOlph3FPRZPfm$"
    "fTq6lfEKbFlhwCn.DmiaEniE7yyqStbjwl3DlQnlFfu0qbtSdsPBQQG1TcWW8D37ZNipa8gdDqoRm.OWsAqsM/"
)

CONFIG = """\
pki "peer" cert "/etc/peer.pem"
pki "peer" key "/etc/peer.key"
table logins file:/etc/logins
listen on 127.0.0.1 port {port} hostname opensmtpd.example.test tls pki "peer" auth-optional <logins>
listen on 127.0.0.1 port {tls_port} hostname opensmtpd.example.test smtps pki "peer" auth-optional <logins>
action "keep" relay host "smtp://127.0.0.1:1"
match from any for domain "refused.example" reject
match from any for any action "keep"
"""


class OpenSmtpd:
    """A running OpenSMTPD: `port` offers STARTTLS, `tls_port` begins with TLS; AUTH is offered within it.

    `certificate` and `key` are files in PEM.
    """

    def __init__(self, certificate: str, key: str) -> None:
        self.jail = Jail("usr/sbin/smtpd", accounts={"opensmtpd": 65531, "opensmtpq": 65532})
        ports = {name: peers.free_port() for name in ("port", "tls_port")}
        self.port, self.tls_port = ports.values()
        self.jail.write("etc/smtpd.conf", CONFIG.format(**ports))
        self.jail.write("etc/mailname", "opensmtpd.example.test\n")
        self.jail.write("etc/logins", f"{LOGIN} {HASHED}\n")
        self.jail.write("etc/peer.pem", Path(certificate).read_text())
        self.jail.write("etc/peer.key", Path(key).read_text(), 0o600)
        for name in ("var/lib/opensmtpd/empty", "var/spool"):
            (self.jail.base / name).mkdir(parents=True)
        (self.jail.base / "var/spool/smtpd").mkdir(mode=0o711)
        try:
            self.jail.start(self.port, "/usr/sbin/smtpd", "-d", "-v")
        except RuntimeError:
            self.jail.stop()
            raise

    @property
    def version(self) -> tuple[int, ...]:
        """Such as (6, 8)."""
        found = re.search(r"OpenSMTPD (\d+)\.(\d+)\S* starting", self.log())
        assert found
        return int(found[1]), int(found[2])

    def queue(self) -> list[tuple[str, list[dict[str, str]]]]:
        """The messages that it keeps: content, and the fields of each envelope."""
        found = []
        for message in sorted((self.jail.base / "var/spool/smtpd/queue").glob("*/*/message")):
            envelopes = [
                dict(re.findall(r"^([\w-]+): (.*)$", path.read_text(), re.M))
                for path in sorted(message.parent.iterdir())
                if path != message
            ]
            found.append((message.read_text(errors="surrogateescape"), envelopes))
        return found

    def log(self) -> str:
        """What it says of each session."""
        return self.jail.log()

    def stop(self) -> None:
        """End it and remove all it wrote."""
        self.jail.stop()
