"""Lists of smart hosts, Postfix and aiosmtpd among them; and from where and as whom we come, by rule."""

from __future__ import annotations

import smtplib
from typing import Any

import peers
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from aiosmtpd_server import Controller
from peers import until
from postfix import Postfix

from conftest import Daemon, _as_root, _peer

MESSAGE = b"From: <a@example.com>\r\nSubject: hello\r\n\r\nHello.\r\n"

CONFIG = """
[service]
hostname = "relay.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "local"
[retry]
intervals = ["1h"]

[[route]]
name = "sales"
sender = ["*@sales.example"]
smtp = "127.0.0.1:{other}"
tls = "none"
source = ["127.0.0.11"]
helo = "sales.example.test"
login = {{{{ user = "sales", password_file = "{password}" }}}}

[[route]]
name = "shop"
sender = ["*@shop.example"]
smtp = "127.0.0.1:{other}"
tls = "none"
source = ["127.0.0.12"]
helo = "shop.example.test"

[[route]]
name = "nowhere"
sender = ["*@nowhere.example"]
smtp = "127.0.0.1:{other}"
tls = "none"
source = ["192.0.2.7"]

[[route]]
smtp = ["127.0.0.1:{dead}", "127.0.0.1:{first}", "127.0.0.1:{other}"]
tls = "none"
failover = ["4.7.", "552"]
"""

REFUSING = (
    "smtpd_relay_restrictions = permit_mynetworks\n"
    "smtpd_sender_restrictions = check_sender_access inline:{\n"
    "  {grey@example.com = 451 4.7.1 greylisted}, {later@example.com = 451 4.3.2 later},\n"
    "  {full@example.com = 552 5.2.2 full} }\n"
    "smtpd_recipient_restrictions = permit_mynetworks, reject\n"
    "smtpd_data_restrictions = check_client_access static:HOLD\n"
)


class Recording:
    """aiosmtpd with logins in clear text; `taken` is what it heard: who sent it, from where, as whom."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str, str]] = []
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=peers.free_port(),
            authenticator=self._check,
            auth_require_tls=False,
        )
        self.controller.start()
        self.port = self.controller.port

    def _check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password == b"secret", handled=False, auth_data=data.login.decode())

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(
            (envelope.mail_from, session.peer[0], session.host_name, str(session.auth_data or ""))
        )
        return "250 2.0.0 taken"


@pytest.fixture(scope="module")
def other():
    recording = Recording()
    yield recording
    recording.controller.stop()


@pytest.fixture(scope="module")
def first():
    _as_root()
    _peer("postfix")
    mta = Postfix(REFUSING)
    yield mta
    mta.stop()


@pytest.fixture(scope="module")
def relay(tmp_path_factory, first, other):
    base = tmp_path_factory.mktemp("relay")
    password = base / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    text = CONFIG.format(dead=peers.free_port(), first=first.port, other=other.port, password=password)
    daemon = Daemon(base, text)
    yield daemon
    daemon.stop()


@pytest.fixture
def sent(relay):
    """Gives the relay a message from a sender: the log's line of its fate."""

    def send(sender: str) -> str:
        to = f"b-{sender.replace('@', '.')}@example.net"
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            client.sendmail(sender, [to], MESSAGE)

        def fate() -> list[str]:
            return [line for line in relay.log().splitlines() if f"to=<{to}>" in line and "status=" in line]

        until(fate)
        return fate()[0]

    return send


def test_the_first_that_lives_takes_it(sent, first):
    line = sent("plain@example.com")
    assert "status=sent" in line and f"[127.0.0.1]:{first.port}" in line


def test_a_reply_that_is_listed_has_the_next_one_tried(sent, first, other):
    """Postfix greylists it, aiosmtpd takes it, once."""
    line = sent("grey@example.com")
    assert "status=sent" in line and f"[127.0.0.1]:{other.port}" in line
    assert [one[0] for one in other.taken].count("grey@example.com") == 1
    line = sent("full@example.com")
    assert "status=sent" in line and f"[127.0.0.1]:{other.port}" in line


def test_any_other_reply_is_the_answer(sent, other):
    line = sent("later@example.com")
    assert "status=deferred" in line and "451 4.3.2 " in line
    assert "later@example.com" not in [one[0] for one in other.taken]


def test_a_sender_has_its_address_name_and_login(sent, other):
    """The same host, three rules: each has connections of its own."""
    for sender in ("ann@sales.example", "bob@shop.example", "cyd@sales.example"):
        assert "status=sent" in sent(sender)
    heard = {sender: rest for sender, *rest in other.taken}
    sales = ["127.0.0.11", "sales.example.test", "sales"]
    assert heard["ann@sales.example"] == heard["cyd@sales.example"] == sales
    assert heard["bob@shop.example"] == ["127.0.0.12", "shop.example.test", ""]


def test_an_address_that_this_host_has_not(sent, relay):
    """The mail waits, and both its reply and the log say what to mend."""
    line = sent("dan@nowhere.example")
    assert "status=deferred" in line and "dsn=4.3.5" in line
    assert "cannot send from 192.0.2.7 to [127.0.0.1]:" in line
    assert [one for one in relay.log().splitlines() if "cannot send from" in one and "status=" not in one]


def test_smtp_takes_a_list(mether, other):
    where = f"127.0.0.1:{peers.free_port()},127.0.0.1:{other.port}"
    done = mether("smtp", "--tls", "none", where, "smtp@example.com", "b@example.net", content=MESSAGE)
    assert done.returncode == 0 and b"relayed (250" in done.stdout
    assert "smtp@example.com" in [one[0] for one in other.taken]


def test_smtp_connects_from_where_it_is_told(mether, other):
    where = f"127.0.0.1:{other.port}"
    argv = ("smtp", "--tls", "none", "--source", "127.0.0.13", where, "from@example.com", "b@example.net")
    assert mether(*argv, content=MESSAGE).returncode == 0
    assert [one[1] for one in other.taken if one[0] == "from@example.com"] == ["127.0.0.13"]
    done = mether(*("192.0.2.7" if one == "127.0.0.13" else one for one in argv), content=MESSAGE)
    assert (done.returncode, done.stderr) == (
        64,
        b"smtp: --source: cannot send from 192.0.2.7: Cannot assign requested address; try smtp --help\n",
    )


def test_smtpqer_takes_a_list(mether, other, tmp_path):
    where = f"127.0.0.1:{peers.free_port()}*1,127.0.0.1:{other.port}*1"
    config = tmp_path / "mether.toml"
    config.write_text('[service]\nhostname = "relay.example.test"\n')
    common = ("-C", str(config), "--spool", f"directory:{tmp_path}/spool")
    done = mether("smtpqer", *common, "-n", where, "queued@example.com", "b@example.net", content=MESSAGE)
    assert done.returncode == 0, done.stderr
    done = mether("runsmtpq", *common)
    assert b"status=sent" in done.stderr, done.stderr
    assert "queued@example.com" in [one[0] for one in other.taken]


GONE = """
[service]
hostname = "relay.example.test"
[queue]
spool = "directory:spool"
[[route]]
name = "{name}"
smtp = "127.0.0.1:{port}"
tls = "none"
"""


def test_mail_of_a_route_that_is_gone(mether, other, tmp_path):
    """It is routed again; what was pinned to the route waits, says for what, and can be moved by hand."""
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    before.write_text(GONE.format(name="sales", port=peers.free_port()))
    after.write_text(GONE.format(name="shop", port=other.port))
    for sender in ("routed@example.com", "pinned@example.com"):
        mether(
            "sendmail", "-C", str(before), "-odq", "-f", sender, "b@example.net", content=MESSAGE, check=True
        )
    mether("smtpq", "-C", str(before), "reroute", "sales", "--sender", "pinned@*", check=True)
    done = mether("runsmtpq", "-C", str(before), "--all")
    assert b"status=deferred" in done.stderr, done.stderr

    done = mether("runsmtpq", "-C", str(after), "--all")
    assert b"status=sent" in done.stderr, done.stderr
    assert b"dsn=4.3.5" in done.stderr, done.stderr
    assert b"the route 'sales' by which this is to go is not in the configuration" in done.stderr
    heard = [sender for sender, *_ in other.taken]
    assert "routed@example.com" in heard and "pinned@example.com" not in heard

    target = f"127.0.0.1:{peers.free_port()},127.0.0.1:{other.port}"
    mether("smtpq", "-C", str(after), "reroute", target, "--all", check=True)
    done = mether("runsmtpq", "-C", str(after), "--all")
    assert "pinned@example.com" in [sender for sender, *_ in other.taken], done.stderr
