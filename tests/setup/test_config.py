"""The configuration: what a file means, and what a person is told when it means nothing."""

import pytest

from mether.address import parse
from mether.routing.request import Request
from mether.setup import shape
from mether.setup.config import (
    Auth,
    Config,
    Dns,
    Listen,
    Log,
    Login,
    Queue,
    Relay,
    Reports,
    Retry,
    Route,
    Service,
    Srs,
    Suppress,
    Table,
    Tls,
    load,
    loads,
)
from mether.setup.locate import ConfigError
from mether.setup.struct import fields

ENV = {"HOME": "/h"}

FULL = """
[service]
hostname = "mx.example.test"
postmaster = "pm@example.test"
undeliverable_reports = "drop"
[queue]
spool = "directory:spool"
memory = "8MiB"
window = 50
window_memory = "2MiB"
[[listen]]
address = "[::1]:25"
relay_from = ["192.0.2.0/24", "2001:db8::1"]
max_size = 1000
max_connections_per_client = 0
command_timeout = "90s"
[[listen]]
address = ":2525"
[[route]]
domains = ["example.test", ".Example.ORG"]
maildir = "mail/{domain}/{user}"
[[route]]
domains = ["lists.test"]
pipe = ["./rmail", "--", "{recipient}"]
timeout = "1m"
[[route]]
domains = ["inside.test"]
smtp = "mail.example.net:2525"
[[route]]
domains = ["dove.test"]
lmtp = "unix:/run/lmtp.sock"
[[route]]
domains = ["out.test"]
mx = true
[retry]
intervals = ["1m", "1h"]
jitter = 0
expire = "2d"
warn = ["1h", "1d"]
uncertain = "hold"
greylisted = "10m"
mailbox_full = "1d"
reply_rules = "replies.txt"
[dns]
servers = ["127.0.0.1", "127.0.0.1:5353", "::1"]
timeout = "2s"
hosts = false
[log]
level = "warning"
format = "json"
"""


def test_a_full_file():
    config = loads(FULL, "/etc/mether/mether.toml", environ=ENV)
    assert config.service.undeliverable_reports == "drop"
    assert config.queue == Queue(
        spool="directory:/etc/mether/spool", memory=8 << 20, window=50, window_memory=2 << 20
    )
    first, second = config.listen
    assert (first.host, first.port, first.max_size, first.command_timeout) == ("::1", 25, 1000, 90.0)
    assert first.relay_from == ("192.0.2.0/24", "2001:db8::1/128")
    assert (second.host, second.port, second.max_recipients) == ("", 2525, 1000)
    maildir, pipe, smtp, lmtp, mx = config.route
    assert maildir.maildir == "/etc/mether/mail/{domain}/{user}"
    assert pipe.pipe == ("/etc/mether/rmail", "--", "{recipient}")
    assert pipe.timeout == 60
    assert (smtp.smtp, lmtp.lmtp, mx.mx) == ("mail.example.net:2525", "unix:/run/lmtp.sock", True)
    assert config.retry == Retry(
        intervals=(60.0, 3600.0),
        jitter=0.0,
        expire=172800.0,
        warn=(3600.0, 86400.0),
        uncertain="hold",
        greylisted=600.0,
        mailbox_full=86400.0,
        reply_rules="/etc/mether/replies.txt",
    )
    assert config.dns.endpoints == (("127.0.0.1", 53), ("127.0.0.1", 5353), ("::1", 53))
    assert config.log.number == 30


def test_its_routes_become_a_routing_table():
    router = loads(FULL, environ=ENV).router()
    routes = {
        address: str(router.route(Request(parse(address))))
        for address in ("a@example.test", "a@b.example.org", "a@inside.test", "a@dove.test", "a@out.test")
    }
    assert routes == {
        "a@example.test": "maildir:example.test",
        "a@b.example.org": "maildir:example.test",
        "a@inside.test": "smtp:mail.example.net:2525",
        "a@dove.test": "lmtp:unix:/run/lmtp.sock",
        "a@out.test": "smtp:out.test",
    }
    assert router.postmaster == parse("pm@example.test")
    assert not router.is_open(parse("a@inside.test"))


def test_without_a_file_everything_is_built_in(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    config = load(None, environ=ENV)
    assert config.queue.spool == "sqlite:/h/.local/state/mether/smtpq"
    assert config.listen == loads("[[listen]]\naddress = '127.0.0.1:2525'\n", environ=ENV).listen
    assert (config.listen[0].role, config.listen[0].relay_from) == ("local", ("127.0.0.0/8", "::1/128"))
    assert config.auth is None
    assert config.route == ()
    assert config.retry.expire == 5 * 86400
    assert config.retry.warn == (4 * 3600.0,)
    assert config.service.postmaster == f"postmaster@{config.service.hostname}"
    assert config.origins == {}


def test_content_that_a_next_hop_does_not_take():
    """8BM-2: converted, or returned, as configured."""
    assert loads("", environ=ENV).service.unsupported_content == "convert"
    text = "[service]\nunsupported_content = 'return'\n"
    assert loads(text, environ=ENV).service.unsupported_content == "return"


def test_the_number_of_workers():
    assert loads("", environ=ENV).service.workers == 1
    assert loads("[service]\nworkers = 4\n", environ=ENV).service.workers == 4
    for wrong in ("0", "257", "true", '"2"'):
        with pytest.raises(ConfigError, match=r":2: service.workers: expected a whole number from 1 to 256"):
            loads(f"[service]\nworkers = {wrong}\n", environ=ENV)


def test_where_a_value_comes_from_is_known():
    config = loads(FULL, "m.toml", environ={**ENV, "METHER_SPOOL": "sqlite:/x"})
    assert config.origins["service.hostname"] == "m.toml:3"
    assert config.origins["route[1].timeout"] == "m.toml:25"
    assert config.origins["queue.spool"] == "$METHER_SPOOL"
    assert config.queue.spool == "sqlite:/x"
    assert loads(FULL, spool="sqlite:/y", environ=ENV).origins["queue.spool"] == "--spool"


def test_every_key_of_a_struct_has_a_shape_and_no_other():
    structs = {
        "service": Service,
        "queue": Queue,
        "listen": Listen,
        "auth": Auth,
        "tls": Tls,
        "srs": Srs,
        "table": Table,
        "route": Route,
        "login": Login,
        "relay": Relay,
        "retry": Retry,
        "reports": Reports,
        "suppress": Suppress,
        "dns": Dns,
        "log": Log,
    }
    assert {name: set(fields(struct)) for name, struct in structs.items()} == {
        name: set(keys) for name, keys in shape.SHAPES.items()
    }
    assert set(fields(Config)) == {*structs, "path", "origins"}


ROUTE = '[[route]]\ndomains = ["a.test"]\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[servise]\n", "1: servise: unknown (did you mean [service]?)"),
        ("[routes]\n", "1: routes: unknown (did you mean [[route]]?)"),
        ("x = 1\n", "1: x: unknown"),
        (
            "[listen]\naddress = ':25'\n",
            "1: listen: expected [[listen]] with two brackets: there may be several",
        ),
        ("[[log]]\n", "1: log: expected a table: [log]"),
        ("service = 1\n", "1: service: expected a table: [service]"),
        ("\n[service]\nhostnam = 'x'\n", "3: service.hostnam: unknown key (did you mean hostname?)"),
        ("[service]\nhostname = 5\n", "2: service.hostname: expected text in quotes"),
        (
            "[service]\nhostname = 'a b'\n",
            '2: service.hostname: expected a host name such as "mx.example.org"',
        ),
        (
            "[service]\npostmaster = 'me'\n",
            "2: service.postmaster: expected an address such as postmaster@example.org: no @ and domain",
        ),
        (
            "[service]\nundeliverable_reports = 'dropped'\n",
            '2: service.undeliverable_reports: expected "postmaster" or "hold" or "drop" '
            '(did you mean "drop"?)',
        ),
        ("[queue]\nspool = '/var'\n", '2: queue.spool: expected "sqlite:DIR", "directory:DIR" or "memory:"'),
        (
            "[queue]\nmemory = '64 megs'\n",
            '2: queue.memory: expected a size such as "50MiB", "10MB" or a number of octets: '
            "the units are KiB, MiB, GiB and TiB, or kB, MB, GB and TB",
        ),
        (
            "[[listen]]\naddress = ':25'\nmax_size = '50M'\n",
            '3: listen.max_size: expected a size such as "50MiB", "10MB" or a number of octets: '
            "the units are KiB, MiB, GiB and TiB, or kB, MB, GB and TB",
        ),
        ("hostname = 'mx.test'\n", "1: hostname: belongs into [service]: write it below that line"),
        (
            "timeout = '5s'\n[log]\nlevel = 'info'\n",
            "1: timeout: belongs into [dns] or [[route]]: write it below that line",
        ),
        (
            "[service]\nhostname = ''\n",
            "2: service.hostname: is empty; expected text, or nothing written at all",
        ),
        (
            "[service]\nhostname = 'a\\tb'\n".replace("'", '"'),
            "2: service.hostname: expected text in quotes, without a control character",
        ),
        (
            "[queue]\nspool = 'sqllite:/var'\n",
            '2: queue.spool: expected "sqlite:DIR", "directory:DIR" or "memory:" (did you mean sqlite:?)',
        ),
        ("[tls]\nminimum = '1.1'\n", '2: tls.minimum: expected "1.2" or "1.3"'),
        (
            "[tls]\nsend = 'fingerprint'\n",
            '2: tls.send: "fingerprint" is for routes: a fingerprint is that of one server',
        ),
        (
            ROUTE + "smtp = 'https://hub.test'\n",
            "3: route.smtp: 'https://hub.test' is a URL; expected a host, such as mail.example.net:25",
        ),
        (
            "[retry]\nexpire = '20000d'\n",
            '2: retry.expire: expected a duration such as "90s", "5m", "1h30m" or "5d": '
            "more than 0 and at most ten years; '20000d' is none",
        ),
        ("[[listen]]\n", '1: listen.address: missing; expected where to listen, such as "127.0.0.1:2525"'),
        (
            "[[listen]]\naddress = '25'\n",
            '2: listen.address: expected an address and a port, such as "127.0.0.1:25", "[::1]:25" or ":25", '
            'or "unix:/path"',
        ),
        (
            "[[listen]]\naddress = ':25'\n[[listen]]\naddress = ':025'\n",
            "4: listen.address: :25 is already listened on by line 2",
        ),
        (
            "[[listen]]\naddress = ':25'\nrelay_from = [\n '::1',\n '10.0.0.1/8']\n",
            '5: listen.relay_from: expected an IP address or a network such as "192.0.2.0/24" '
            "(bits are set after the prefix)",
        ),
        (
            "[[listen]]\naddress = ':25'\nmax_errors = true\n",
            "3: listen.max_errors: expected a whole number from 1 to 10000",
        ),
        (
            "[[listen]]\naddress = ':25'\ncommand_timeout = 300\n",
            '3: listen.command_timeout: expected a duration such as "90s", "5m", "1h30m" or "5d": '
            "the units are s, m, h, d, w and ms, the larger first; '300' is none",
        ),
        (
            "[retry]\nintervals = ['5m', '5x']\n",
            '2: retry.intervals: expected a duration such as "90s", "5m", "1h30m" or "5d": '
            "the units are s, m, h, d, w and ms, the larger first; '5x' is none",
        ),
        (
            "[relay]\nrate = 5\n",
            '2: relay.rate: expected a rate such as "10/s", "100/m" or "1000/h", more than 0; \'5\' is none',
        ),
        (ROUTE + "mx = false\n", "3: route.mx: expected true, or no such key"),
        (
            "[[route]]\ndomains = []\nmx = true\n",
            "2: route.domains: is an empty list; expected domains, one at least",
        ),
        (
            "[[route]]\ndomains = 'a.test'\nmx = true\n",
            "2: route.domains: expected a list of domains, in brackets",
        ),
        (
            ROUTE + "smtp = 'unix:/x'\n",
            "3: route.smtp: this target speaks LMTP: write lmtp = ... for it",
        ),
        ("[queue]\nwindow = 0\n", "2: queue.window: expected a whole number from 1 to 100000"),
        ("[queue]\nwindow_memory = 5\n", '2: queue.window_memory: expected "1MiB" or more'),
        (
            "[retry]\nuncertain = 'drop'\n",
            '2: retry.uncertain: expected "retry" or "hold"',
        ),
        ("[retry]\nwarn = '4h'\n", "2: retry.warn: expected a list of durations, in brackets"),
        (
            "[retry]\nwarn = ['4h', '1h']\n",
            '2: retry.warn: expected rising ages, and "1h" stands behind "4h"',
        ),
        (
            "[retry]\nwarn = ['4h', '5d']\n",
            '2: retry.warn: expected ages below "5d" (retry.expire), not "5d"',
        ),
        (
            "[retry]\nwarn = ['4h']\nexpire = '2h'\n",
            '2: retry.warn: expected ages below "2h" (retry.expire), not "4h"',
        ),
        (
            "[retry]\njitter = 1\n",
            "2: retry.jitter: expected a number of at least 0 and below 1, such as 0.2",
        ),
        (
            "[retry]\nintervals = []\n",
            "2: retry.intervals: is an empty list; expected durations, one at least",
        ),
        ("[dns]\nhosts = 1\n", "2: dns.hosts: expected true or false"),
        (
            "[dns]\nservers = ['dns.test']\n",
            '2: dns.servers: expected an IP address, such as "127.0.0.1", "127.0.0.1:5353" or "[::1]:53"',
        ),
        (
            "[log]\nlevel = 'inf'\n",
            '2: log.level: expected "info" or "warning" or "error" (did you mean "info"?)',
        ),
        ("[log]\nlevel = 'debug'\n", '2: log.level: expected "info" or "warning" or "error"'),
        ("[log]\nlevel = \n", "2: this is not TOML: Invalid value"),
        ("[log]\nlevel = 'info'\nlevel = 'info'\n", "3: this is not TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(text, line):
    with pytest.raises(ConfigError) as caught:
        loads(text, "m.toml", environ=ENV)
    assert str(caught.value) == f"m.toml:{line}"


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "m.toml"
    path.write_bytes(b"[log]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"m\.toml:2: an octet that is not UTF-8$"):
        load(str(path), environ=ENV)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(ConfigError, match="longer than 1024 KiB"):
        load(str(path), environ=ENV)
    path.write_text("x = " + "[" * 20000)
    with pytest.raises(ConfigError):
        load(str(path), environ=ENV)
    with pytest.raises(ConfigError, match=r"Is a directory$"):
        load(str(tmp_path), environ=ENV)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("", "hold"),
        ('[[route]]\nsmtp = "smtp.example.net:587"\n', "hold"),
        ('[[listen]]\naddress = "unix:/run/mether/submit"\nrole = "local"\n', "hold"),
        ('[[listen]]\naddress = "127.0.0.1:2525"\n', "postmaster"),
        ('[service]\nundeliverable_reports = "drop"\n', "drop"),
    ],
)
def test_what_cannot_be_reported_is_held_where_only_programs_of_this_host_send(text, means):
    assert loads(text, environ=ENV).service.undeliverable_reports == means
