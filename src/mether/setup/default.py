"""The configuration file that a new service begins with, every key explained.

`make run` and `mether config --write-default FILE` write it; it is never written over another.
"""

from __future__ import annotations

import os

from mether.setup import locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

TEXT: Final = """\
# mether's configuration.  Every key may be left out; a value behind # is the built-in one.
# After a change: mether config --check, then send smtpd a SIGHUP.
# Relative paths are relative to the directory of this file.

[service]
# Our own name, in greetings and trace fields.  Built in: the host's name.
#hostname = "mx.example.org"
# The domain of names without one in what programs hand to sendmail: origin = "example.org".  Built in: the
# hostname, and where that is not given, what /etc/mailname says.
# Who gets mail for <postmaster> and reports that cannot be delivered.  Built in: postmaster@hostname.
postmaster = "postmaster@example.test"
# What becomes of such reports: "postmaster", "hold" or "drop".
#undeliverable_reports = "postmaster"
# What becomes of 8-bit content for a next hop that does not take it: "convert" or "return".
#unsupported_content = "convert"
# How many processes receive and deliver, with sqlite:.  For more mail than one core can bear.
#workers = 1
# Who a service that root starts becomes once it listens; built in: nobody else.  user = "mether",
# and its own group, or group = "mail".

[queue]
# sqlite:DIR, or directory:DIR for a spool of plain files.
spool = "sqlite:spool"
# Content held in memory over all sessions, before it goes to files.
#memory = "64MiB"
# How many messages a process has in hand to deliver, and how much of their content in memory.
#window = 1000
#window_memory = "64MiB"

# An address to listen on.  There may be several: repeat [[listen]].  A Unix socket is written as
# address = "unix:/run/mether/lmtp"; built in are then socket_mode = "0660" and role = "lmtp".
[[listen]]
address = "127.0.0.1:2525"
# What it is for: "mx" (built in on port 25), "submission" (587, 465), "lmtp" (24), "local" (any other).
#role = "local"
# Who may send to any domain; all others reach only the domains that are delivered here.
# Built in for the other roles: nobody.
#relay_from = ["127.0.0.0/8", "::1/128"]
#tls = "none"                        # "starttls", "implicit": with a certificate
#require_tls = false
#auth = false                        # built in for submission: true
#add_sender = false                  # say in Sender who logged in
#max_size = "50MiB"
#max_recipients = 1000
#max_connections = 1000
#max_connections_per_client = 250    # 0: no limit
#max_commands = 10000                # between two messages
#max_errors = 20
#max_connections_per_minute = 0      # of one client; 0: no limit
#max_messages_per_minute = 0
#max_recipients_per_minute = 0
#command_timeout = "5m"
#session_timeout = "30m"             # without a message
#min_rate = 16                       # octets a second, over a minute; 0: as slow as they like
#bare_newlines = "refuse"            # "normalize": make them CRLF
#vrfy = false
#check_sender_domain = false         # refuse senders whose domain does not exist or takes no mail
#check_recipient_domain = false      # the same of recipients; true for role = "submission"
#etrn_from = []
#proxy_from = []                     # proxies that speak the PROXY protocol
#xclient_from = []                   # front ends that speak XCLIENT
#extensions_off = []

# Who may log in, on listeners with auth = true or role = "submission".  For example:
# [auth]
# passwords = "passwords"            and, or instead: dovecot = "/run/dovecot/auth-client",
# program = ["check-login"],         checkpassword = ["checkpassword", "true"], oauth = ["check-token"]
# mechanisms = []                    all that these can do
# clear_from = []                    who may log in without TLS
# max_failures = 10                  of one client; 0: no limit
# senders = "senders"                which login may use which reverse-paths

# Our certificates.  With one, listeners offer STARTTLS; on port 465 they begin with TLS.  And what TLS is
# demanded when sending: "none", "may" (where it is offered), "encrypt" or "verify".  For example:
# [tls]
# certificate = ["mx.pem"]           chains in PEM
# key = ["mx.key"]                   none: in the same files
# client_ca = "clients.pem"          authorities for certificates of clients
# minimum = "1.2"
# send = "may"
# ca = "ca.pem"                      authorities for certificates of servers; none: the system's

# What routes look up as "table:NAME".  A file has a key on each line, its value behind white space; it is
# read anew when it changes.  Mail that a table decides about waits while it cannot be read.  For example:
# [[table]]
# name = "people"
# file = "people"                    format = "aliases": in the syntax of /etc/aliases
#   or sqlite = "users.db", or postgres = "postgresql://mether@db.example.org/mail", with
#   query = "SELECT mailbox FROM users WHERE address = ?"    ($1 for postgres), cache = "5s"
#   or passwd = true                 the users of this host

# Reverse-paths of ours for mail of others that is sent on, for routes with srs = true.  For example:
# [srs]
# domain = "fwd.example.org"         whose mail comes here
# secret_file = "srs-secrets"        a secret a line, the newest first; max_age = "3w", hash_length = 4

# Where mail goes.  The first route that takes a recipient wins; what none takes goes by the MX of its domain.
# A route says which mail it takes, in keys that must all hold (none: everything):
#   domains = ["example.org", ".example.org"]   ".": every domain below it; "mx*.example.org"; "table:NAME"
#   recipient = ["abuse@*"]          sender = ["@example.org", "<>"]
#   client = ["192.0.2.0/24", "local"]          "local": programs of this host
#   authenticated = true             or ["ann"];  listener = ["127.0.0.1:2525"], or its name = "..."
# What becomes of it, exactly one of (aliases may stand beside the first five):
#   maildir = "mail/{domain}/{user}"            or pipe; without Delivered-To: delivered_to = false
#   pipe = ["rmail", "--", "{recipient}"]       and, if need be, timeout = "5m", from_line = true
#   lmtp = "unix:/run/dovecot/lmtp"
#   smtp = "mail.example.net:25"     or a list, in its order or with weights = [3, 1];
#                                    failover = ["421", "4.7."]: replies for which the next is tried
#   mx = true
#   forward = ["ann@example.org"]    refuse = "550 5.7.1 not wanted here"
#   discard = true                   hold = "to be looked at"
#   aliases = ["/etc/aliases"]       and alias_programs, alias_files = true
# Who is here (nobody named: everybody); others are refused:
#   users = ["passwd", "ann", "file:users"]     delimiter = "+";  as_user = true: deliver as that Unix user
# With smtp and mx, that anybody may send by it: open = true
# With smtp, lmtp and mx also:
#   name = "out"                     connections of its own
#   tls = "verify"                   in place of send
#   tls_names = ["mx.example.net"]   whose certificate it must be
#   tls_fingerprints = []            SHA-256, for tls = "fingerprint"
#   connections = 5                  in place of those of [relay]; so too
#   messages_per_connection = 100    and rate = "100/m"
#   source = ["192.0.2.7"]           the address to connect from; helo = "out.example.net" what EHLO says
#   login = { user = "ann", password_file = "password" }
#   masquerade = ["example.org"]     but for masquerade_exceptions = ["root"]
#   rewrite = "table:names"; srs = true, for mail of others that is sent on
#   verp = ["example.org"]           bounces that say which message and recipient: ann+ID=bob=example.net@
#   suppress = false                 whatever is remembered of its addresses; see [suppress]
[[route]]
domains = ["example.test"]
maildir = "mail/{user}"

# Who we are at next hops; the first that fits is used.  One secret: password_file, password_command,
# password_env, password_credential (systemd's) or token_command.  For example:
# [[login]]
# next_hop = "smtp.example.net:587"
# sender = "*"
# user = "ann"
# password_file = "password"
# mechanisms = ["SCRAM-SHA-256", "PLAIN"]

[relay]
# For each next hop: the connections at a time, and the messages in each of them.
#connections = 20
#messages_per_connection = 1000
# And how many messages go in a second, a minute or an hour: rate = "100/m".  Built in: as many as it takes.
# The connections to all next hops together, and how long one that has nothing to do is kept.
#max_connections = 500
#idle = "3s"

[retry]
# How long to wait before each next attempt (the last one repeats), and how much of it is left to chance.
#intervals = ["1m", "5m", "15m", "30m", "1h", "2h", "4h"]
#jitter = 0.2
# When a message that still waits is returned to its sender.
#expire = "5d"
# The ages at which its sender is told that it still waits; [] for never.
#warn = ["4h"]
# What becomes of a message that may have been delivered, or not: "retry" it, or "hold" it for a person.
#uncertain = "retry"
# The second try of what was greylisted, and the shortest wait for a mailbox that is full.
#greylisted = "5m"
#mailbox_full = "2h"
# Rules of your own of what replies mean, before the built-in ones: see docs/bounces.md.
# reply_rules = "replies.txt"

[reports]
# The languages in which people are told what became of their mail, one after the other.
#languages = ["en"]
# Texts of your own, before the built-in ones: see docs/reports.md.
# texts = "texts.txt"
# The most that go to one address in an hour: those beyond wait for the next, and go as one.
#hourly = 100

[suppress]
# Whether addresses are remembered that do not exist, so that no mail is sent to them again; or for which
# failures: ["no such user", "mailbox full", "policy", "other"].  See docs/suppression.md and mether suppress.
#remember = false
# After how many failures, and for how long; "forever".
#after = 1
#keep = "13w"
# Whether a client that names such an address is refused; else its mail is taken, and returned.
#refuse = true

[dns]
# Without the DNS only the hosts file and addresses are known; every route then has to name such a host.
#enabled = true
# Built in: the servers in /etc/resolv.conf.
#servers = ["127.0.0.1"]
#timeout = "5s"
# Whether a name in the hosts file is connected to directly.
#hosts = true
# Where an MX may point: "site" (not at this host), "allow" (anywhere), "refuse" (nor into private networks).
#private = "site"
# Whether servers on other hosts are believed that they checked the signatures (DNSSEC).
#trust_ad = false

[log]
#level = "info"      # "warning", "error"
#format = "text"     # "json": one object a line
"""


def write(path: str, environ: Mapping[str, str] = os.environ) -> None:
    """Write the file.  Raises FileExistsError when it is there, FileNotFoundError without its directory.

    The directory is made only where it is one in which a configuration is looked for without being named: any
    other that is missing is more likely misspelled.
    """
    directory = os.path.dirname(os.path.abspath(path))
    own = locate.user_path("XDG_CONFIG_HOME", ".config", environ, "mether")
    if directory in (os.path.dirname(locate.SYSTEM), own):
        os.makedirs(directory, exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    with open(fd, "w", encoding="utf-8") as file:
        file.write(TEXT)
