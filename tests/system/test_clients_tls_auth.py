"""Real clients into `smtpd` with TLS in every manner, every login, LMTP, PROXY and XCLIENT."""

from __future__ import annotations

import re
import smtplib
import ssl
from email import message_from_bytes
from email.policy import SMTP

import aiosmtplib
import pytest
from peers import free_port, until

from conftest import Daemon

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "mx"
[[listen]]
address = "127.0.0.1:{submission}"
role = "submission"
[[listen]]
address = "127.0.0.1:{smtps}"
role = "submission"
tls = "implicit"
[[listen]]
address = "127.0.0.1:{lmtp}"
role = "lmtp"
[[listen]]
address = "127.0.0.1:{proxied}"
role = "mx"
proxy_from = ["127.0.0.1"]
[[listen]]
address = "127.0.0.1:{xclient}"
role = "mx"
auth = true
xclient_from = ["127.0.0.1"]
[tls]
certificate = ["{certificate}"]
key = ["{key}"]
client_ca = "{ca}"
[auth]
passwords = "passwords"
oauth = ["{token}"]
max_failures = 0
mechanisms = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "PLAIN", "LOGIN"]
[[route]]
domains = ["example.test"]
maildir = "mail/{{{{user}}}}"
"""

TOKEN = """#!/bin/sh
read login; read token
[ "$login $token" = "ann@example.test good-token" ]
"""

USER, PASSWORD = "ann@example.test", "correct horse"
TO = "friend@example.test"
MESSAGE = b"From: <ann@example.test>\nTo: <friend@example.test>\nSubject: hello\n\nHello.\n.\n..\nlast line\n"
WIRE = MESSAGE.replace(b"\n", b"\r\n")


class Service:
    """A running smtpd with a listener for each manner; the ports are attributes."""

    def __init__(self, base, files, mether):
        ports = {name: free_port() for name in ("submission", "smtps", "lmtp", "proxied", "xclient")}
        self.__dict__.update(ports)
        token = base / "token"
        token.write_text(TOKEN)
        token.chmod(0o755)
        mether(
            *("mether", "passwd", "--file", str(base / "passwords"), "--scheme", "scram-sha-256", USER),
            content=PASSWORD.encode() + b"\n",
            check=True,
        )
        certificate, key = files.server
        values = {"certificate": certificate, "key": key, "ca": files.ca, "token": token}
        self.daemon = Daemon(base, CONFIG.format(**ports, **values))
        self.mx = self.daemon.port
        self.base = base

    def arrived(self, sender, user="friend"):
        """The message from `sender`, once it is there; with its fields."""
        found = []

        def look():
            for path in (self.base / "mail" / user / "new").glob("*"):
                octets = path.read_bytes()
                if octets.startswith(f"Return-Path: <{sender}>".encode()):
                    found.append(message_from_bytes(octets, policy=SMTP))
            return found

        until(look)
        assert len(found) == 1
        assert found[0].get_payload().replace("\r\n", "\n").rstrip("\n").endswith("Hello.\n.\n..\nlast line")
        return found[0]


@pytest.fixture(scope="module")
def service(tmp_path_factory, files, mether):
    running = Service(tmp_path_factory.mktemp("clients"), files, mether)
    yield running
    running.daemon.stop()


def protocol(message):
    """What the trace field says that it came with."""
    return str(message["Received"]).split(" with ")[1].split()[0]


def sender_of(request):
    """A reverse-path for each test."""
    return re.sub(r"\W+", ".", request.node.name).strip(".").lower()[:60] + "@example.com"


@pytest.fixture
def by_swaks(service, swaks, tmp_path):
    """Sends MESSAGE with swaks: `by_swaks(port, sender, *options)`; returns the process."""
    (tmp_path / "message").write_bytes(WIRE)

    def send(port, sender, *options, check=True):
        who = ("--server", f"127.0.0.1:{port}", "--from", sender, "--to", TO)
        return swaks(*who, "--data", f"@{tmp_path / 'message'}", *options, check=check)

    return send


@pytest.mark.parametrize(
    ("options", "listener", "expected"),
    [
        pytest.param((), "mx", "ESMTP", id="no TLS"),
        pytest.param(("--pipeline",), "mx", "ESMTP", id="pipelining"),
        pytest.param(("--tls",), "mx", "ESMTPS", id="--tls"),
        pytest.param(("--tls", "--pipeline"), "mx", "ESMTPS", id="--tls --pipeline"),
        pytest.param(("--tls-optional",), "mx", "ESMTPS", id="--tls-optional"),
        pytest.param(("--tls-optional-strict",), "mx", "ESMTPS", id="--tls-optional-strict"),
        pytest.param(("--tls", "--tls-protocol", "tlsv1_2"), "mx", "ESMTPS", id="TLS 1.2"),
        pytest.param(("--protocol", "SMTP"), "mx", "SMTP", id="HELO"),
        pytest.param(("--protocol", "SSMTP"), "smtps", None, id="SSMTP without a login"),
        pytest.param(("--protocol", "LMTP"), "lmtp", "LMTP", id="LMTP"),
        pytest.param(("--protocol", "LMTP", "--tls", "--pipeline"), "lmtp", "LMTPS", id="LMTP, TLS"),
    ],
)
def test_swaks_in_every_manner(options, listener, expected, service, by_swaks, request):
    sender = sender_of(request)
    done = by_swaks(getattr(service, listener), sender, *options, check=False)
    if expected is None:
        assert b"530 5.7.0" in done.stdout
        return
    assert done.returncode == 0, done.stdout
    assert protocol(service.arrived(sender)) == expected


def test_swaks_verifies_our_certificate(service, by_swaks, files):
    by_swaks(service.mx, "verify@example.com", "--tls", "--tls-verify", "--tls-ca-path", files.ca)
    other = by_swaks(
        *(service.mx, "other@example.com", "--tls", "--tls-verify", "--tls-ca-path", files.other_ca),
        check=False,
    )
    assert other.returncode != 0
    assert protocol(service.arrived("verify@example.com")) == "ESMTPS"


def test_an_old_version_of_tls_is_refused(service, by_swaks):
    done = by_swaks(service.mx, "old@example.com", "--tls", "--tls-protocol", "tlsv1_1", check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stdout


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("listener", ["submission", "smtps"])
def test_swaks_logs_in(mechanism, listener, service, by_swaks):
    tls = "--tls" if listener == "submission" else "--tls-on-connect"
    sender = f"{mechanism}-{listener}@example.com".lower()
    auth = ("--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD)
    by_swaks(getattr(service, listener), sender, tls, *auth)
    assert protocol(service.arrived(sender)) == "ESMTPSA"


def test_a_wrong_password_is_refused(service, by_swaks):
    auth = ("--auth", "PLAIN", "--auth-user", USER, "--auth-password", "guess")
    done = by_swaks(service.submission, "wrong@example.com", "--tls", *auth, check=False)
    assert b"535 5.7.8" in done.stdout
    assert done.returncode == 28  # swaks: authentication failed


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "CRAM-SHA1"])
def test_what_is_not_offered_is_refused(mechanism, service, by_swaks):
    auth = ("--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD)
    done = by_swaks(service.submission, "cram@example.com", "--tls", *auth, check=False)
    assert done.returncode == 28, done.stdout
    assert b"MAIL FROM" not in done.stdout


def test_no_login_without_tls(service, by_swaks):
    """AUTH is neither offered nor taken in clear; mail is refused without it."""
    auth = ("--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD)
    done = by_swaks(service.submission, "clear@example.com", *auth, check=False)
    assert done.returncode == 28
    assert b"250-AUTH" not in done.stdout
    optional = by_swaks(service.submission, "clear@example.com", "--auth-optional", *auth[2:], check=False)
    assert b"530 5.7.0" in optional.stdout


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("family", ["TCP4", "TCP6"])
def test_swaks_behind_a_proxy(version, family, service, by_swaks):
    """PROXY protocol: the client is the one that the proxy names, before STARTTLS."""
    source, destination = {"TCP4": ("192.0.2.7", "192.0.2.1"), "TCP6": ("2001:db8::7", "2001:db8::1")}[family]
    where = ("--proxy-source", source, "--proxy-source-port", "4711", "--proxy-dest", destination)
    kind = family if version == "1" else {"TCP4": "AF_INET", "TCP6": "AF_INET6"}[family]
    options = ("--proxy-version", version, "--proxy-family", kind, *where, "--proxy-dest-port", "25")
    if version == "2":
        options += ("--proxy-protocol", "STREAM", "--proxy-command", "PROXY")
    sender = f"proxy-{version}-{family}@example.com".lower()
    by_swaks(service.proxied, sender, *options, "--tls")
    assert source in service.arrived(sender)["Received"]


def test_prdr_is_not_offered(service, by_swaks):
    """swaks, which was told to insist on it, leaves in good order."""
    done = by_swaks(service.mx, "prdr@example.com", "--prdr", check=False)
    assert done.returncode == 30
    assert b"221 2.0.0" in done.stdout


def test_swaks_as_a_front_end_with_xclient(service, by_swaks):
    client = (
        "--xclient-addr",
        "192.0.2.9",
        "--xclient-name",
        "client.example.net",
        "--xclient-helo",
        "client",
    )
    by_swaks(service.xclient, "xclient@example.com", *client, "--xclient-proto", "ESMTP")
    received = service.arrived("xclient@example.com")["Received"]
    assert "192.0.2.9" in received
    assert "client.example.net" in received


def test_xclient_says_who_logged_in(service, by_swaks):
    """A front end that has checked the login itself; whoever logged in may send to any domain."""
    who = ("--xclient-addr", "192.0.2.9", "--xclient-login", USER, "--tls")
    done = by_swaks(
        service.xclient, "front@example.com", *who, "--to", "b@elsewhere.example", "--quit-after", "RCPT"
    )
    assert b"250 2.1.5" in done.stdout


def test_xclient_from_another_is_refused(service, by_swaks):
    done = by_swaks(service.mx, "xno@example.com", "--xclient-addr", "192.0.2.9", check=False)
    assert done.returncode != 0
    assert b"MAIL FROM" not in done.stdout


@pytest.mark.parametrize(
    ("listener", "options", "expected"),
    [
        ("mx", ("--tls=off",), "ESMTP"),
        ("mx", ("--tls=on", "--tls-starttls=on"), "ESMTPS"),
        ("submission", ("--tls=on", "--tls-starttls=on", "--auth=plain"), "ESMTPSA"),
        ("smtps", ("--tls=on", "--tls-starttls=off", "--auth=plain"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=login"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=scram-sha-256"), "ESMTPSA"),
        ("smtps", ("--tls=on", "--tls-starttls=off", "--auth=scram-sha-256"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=on"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=oauthbearer", "--passwordeval=echo good-token"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=xoauth2", "--passwordeval=echo good-token"), "ESMTPSA"),
        ("submission", ("--tls=on", "--auth=external"), "ESMTPSA"),
        ("smtps", ("--tls=on", "--tls-starttls=off", "--auth=external"), "ESMTPSA"),
    ],
)
def test_msmtp_in_every_manner(listener, options, expected, service, msmtp, files, request):
    sender = sender_of(request)
    auth = [option for option in options if option.startswith("--auth=")]
    more = []
    if auth and not any(option.startswith("--passwordeval") for option in options):
        more += [f"--passwordeval=echo '{PASSWORD}'"]
    if auth:
        more += [f"--user={USER}"]
    if auth == ["--auth=external"]:
        more += [f"--tls-cert-file={files.client[0]}", f"--tls-key-file={files.client[1]}"]
    if "--tls=on" in options:
        more += [f"--tls-trust-file={files.ca}"]
    where = ("--host=127.0.0.1", f"--port={getattr(service, listener)}", f"--from={sender}")
    msmtp(*where, *options, *more, TO, content=MESSAGE)
    assert protocol(service.arrived(sender)) == expected


def test_msmtp_with_a_wrong_token(service, msmtp, files):
    """The server's JSON is answered, and then the reply is read (RFC 7628 section 3.2.3)."""
    options = ("--tls=on", "--auth=oauthbearer", "--passwordeval=echo bad-token", f"--user={USER}")
    where = ("--host=127.0.0.1", f"--port={service.submission}", "--from=bad@example.com")
    done = msmtp(*where, *options, f"--tls-trust-file={files.ca}", TO, content=MESSAGE, check=False)
    assert done.returncode == 77, done
    assert b"535" in done.stderr, done


def test_msmtp_asks_for_reports(service, msmtp, files):
    sender = "reports@example.com"
    where = ("--host=127.0.0.1", f"--port={service.mx}", f"--from={sender}")
    msmtp(*where, "--tls=off", "--dsn-notify=failure,delay", "--dsn-return=headers", TO, content=MESSAGE)
    assert service.arrived(sender)


@pytest.mark.parametrize(
    ("scheme", "listener", "options", "expected"),
    [
        ("smtp", "mx", (), "ESMTP"),
        ("smtp", "mx", ("--ssl-reqd",), "ESMTPS"),
        ("smtp", "mx", ("--ssl",), "ESMTPS"),
        ("smtp", "submission", ("--ssl-reqd", "--login-options", "AUTH=PLAIN"), "ESMTPSA"),
        ("smtp", "submission", ("--ssl-reqd", "--login-options", "AUTH=LOGIN"), "ESMTPSA"),
        ("smtp", "submission", ("--ssl-reqd", "--login-options", "AUTH=PLAIN", "--sasl-ir"), "ESMTPSA"),
        ("smtps", "smtps", (), "ESMTPSA"),
        ("smtps", "smtps", ("--oauth2-bearer", "good-token", "--sasl-ir"), "ESMTPSA"),
        (
            "smtps",
            "smtps",
            ("--oauth2-bearer", "good-token", "--login-options", "AUTH=OAUTHBEARER"),
            "ESMTPSA",
        ),
        ("smtps", "smtps", ("--oauth2-bearer", "good-token", "--login-options", "AUTH=XOAUTH2"), "ESMTPSA"),
        ("smtps", "smtps", ("--login-options", "AUTH=EXTERNAL", "--sasl-ir"), "ESMTPSA"),
    ],
)
def test_curl_in_every_manner(scheme, listener, options, expected, service, curl, files, tmp_path, request):
    sender = sender_of(request)
    (tmp_path / "message").write_bytes(WIRE)
    login = ("--user", f"{USER}:{PASSWORD}") if listener != "mx" else ()
    if "--oauth2-bearer" in options:
        login = ("--user", USER)
    if "AUTH=EXTERNAL" in options:
        login = ("--user", f"{USER}:", "--cert", files.client[0], "--key", files.client[1])
    where = f"{scheme}://127.0.0.1:{getattr(service, listener)}/client.example.com"
    who = ("--mail-from", sender, "--mail-rcpt", TO, "-T", str(tmp_path / "message"))
    curl("-sS", "--cacert", files.ca, *options, *login, where, *who)
    assert protocol(service.arrived(sender)) == expected


def context(files):
    """TLS that believes our authority."""
    return ssl.create_default_context(cafile=files.ca)


def test_smtplib_with_starttls_and_a_login(service, files):
    with smtplib.SMTP("127.0.0.1", service.submission) as client:
        client.starttls(context=context(files))
        client.login(USER, PASSWORD)
        client.sendmail("lib@example.com", [TO], WIRE, rcpt_options=["NOTIFY=NEVER"])
    assert protocol(service.arrived("lib@example.com")) == "ESMTPSA"


def test_smtplib_with_implicit_tls_and_utf8(service, files):
    """SMTPUTF8 in both paths (RFC 6531), AUTH LOGIN and PLAIN."""
    with smtplib.SMTP_SSL("127.0.0.1", service.smtps, context=context(files)) as client:
        client.ehlo()
        client.user, client.password = USER, PASSWORD
        client.auth("LOGIN", client.auth_login)
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail("jürgen@example.com", ["käthe@example.test"], WIRE, mail_options=options)
    assert protocol(service.arrived("jürgen@example.com", "käthe")) == "UTF8SMTPSA"


def test_smtplib_with_lmtp(service):
    """LHLO, and a reply for each recipient."""
    with smtplib.LMTP("127.0.0.1", service.lmtp) as client:
        client.ehlo()
        assert client.has_extn("pipelining")
        refused = client.sendmail("lmtp@example.com", [TO, "b@elsewhere.example"], WIRE)
    assert list(refused) == ["b@elsewhere.example"]
    assert protocol(service.arrived("lmtp@example.com")) == "LMTP"


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit TLS"])
@pytest.mark.asyncio
async def test_aiosmtplib(implicit, service, files):
    sender = f"aio{implicit:d}@example.com"
    port = service.smtps if implicit else service.submission
    await aiosmtplib.send(
        WIRE,
        sender=sender,
        recipients=[TO],
        hostname="127.0.0.1",
        port=port,
        use_tls=implicit,
        start_tls=not implicit,
        tls_context=context(files),
        username=USER,
        password=PASSWORD,
    )
    assert protocol(service.arrived(sender)) == "ESMTPSA"
