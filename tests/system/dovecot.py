"""A private Dovecot, in a root directory of its own: LMTP into Maildirs, and its auth socket."""

from __future__ import annotations

import os

import peers
from jail import Jail

USERS = {"ann": "secret", "bob": "hunter2", "full": "x"}

CONFIG = """\
protocols = lmtp
listen = 127.0.0.1
log_path = /dev/stderr
hostname = dovecot.example.test
ssl = no
auth_mechanisms = plain login scram-sha-256
auth_username_format = %Ln
auth_failure_delay = 0
disable_plaintext_auth = no
first_valid_uid = 65530
mail_location = maildir:~/Maildir
postmaster_address = postmaster@example.test
lmtp_save_to_detail_mailbox = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN /etc/users
}}
userdb {{
  driver = passwd-file
  args = /etc/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener lmtp {{
    mode = 0666
  }}
}}
# Else it slows logins from an address down after a failure.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener auth-client {{
    mode = 0666
  }}
}}
"""


def programs() -> list[str]:
    """The master, and all that it might start: it looks for each when it begins."""
    helpers = (peers.ROOT / "usr/lib/dovecot").iterdir()
    names = [path.name for path in helpers if path.is_file() and ".so" not in path.name]
    main = ["usr/sbin/dovecot", "usr/bin/doveconf", "usr/lib/dovecot/modules/libssl_iostream_openssl.so"]
    return [*main, *(f"usr/lib/dovecot/{name}" for name in sorted(names))]


class Dovecot:
    """A running Dovecot: LMTP at `port` and the socket `lmtp`, logins at the socket `auth`.

    It knows USERS at any domain; the mailbox of ``full`` cannot be written to, so mail for it is deferred.
    """

    def __init__(self) -> None:
        self.jail = Jail(*programs(), accounts={"dovecot": 65528, "dovenull": 65529, "vmail": 65530})
        self.port = peers.free_port()
        self.lmtp = self.jail.base / "run/dovecot/lmtp"
        self.auth = self.jail.base / "run/dovecot/auth-client"
        self.jail.write("etc/dovecot/dovecot.conf", CONFIG.format(port=self.port))
        users = [f"{name}:{password}:65530:65530::/home/{name}::\n" for name, password in USERS.items()]
        self.jail.write("etc/users", "".join(users))
        for name in USERS:
            home = self.jail.base / "home" / name
            home.mkdir(parents=True)
            os.chown(home, *((0, 0) if name == "full" else (65530, 65530)))
        try:
            self.jail.start(self.port, "/usr/sbin/dovecot", "-F")
        except RuntimeError:
            self.jail.stop()
            raise

    def mailbox(self, user: str) -> list[bytes]:
        """The messages of a user."""
        return [path.read_bytes() for path in (self.jail.base / "home" / user / "Maildir/new").glob("*")]

    def log(self) -> str:
        """What it logs."""
        return self.jail.log()

    def stop(self) -> None:
        """End it and remove all it wrote."""
        self.jail.stop()
