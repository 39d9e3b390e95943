"""What follows from a listener's role, and the contradictions that are errors with their line."""

from __future__ import annotations

import pytest

from mether.setup.config import Config, loads
from mether.setup.listen import LOOPBACK
from mether.setup.locate import ConfigError

LISTEN = '[[listen]]\naddress = ":{}"\n'
AUTH = '[auth]\npasswords = "pw"\n'


def load(text: str) -> Config:
    return loads(text, "/etc/m.toml", environ={"HOME": "/h"})


@pytest.mark.parametrize(
    ("port", "role", "relay_from"),
    [
        (25, "mx", ()),
        (24, "lmtp", ()),
        (2525, "local", LOOPBACK),
        (0, "local", LOOPBACK),
    ],
)
def test_the_port_makes_the_role_and_the_role_the_rest(
    port: int, role: str, relay_from: tuple[str, ...]
) -> None:
    """SEC-1: an mx relays for nobody."""
    listen = load(LISTEN.format(port)).listen[0]
    assert (listen.role, listen.relay_from, listen.auth, listen.tls) == (role, relay_from, False, "none")


UNIX = '[[listen]]\naddress = "unix:/run/m/s"\n'


def test_a_unix_socket_is_for_lmtp_if_nothing_else_is_said() -> None:
    listen = load(UNIX).listen[0]
    assert (listen.role, listen.relay_from, listen.tls, listen.mode) == ("lmtp", (), "none", 0o660)
    assert (listen.path, listen.port, listen.max_connections_per_client) == ("/run/m/s", 0, 0)
    listen = load(UNIX + 'role = "local"\nsocket_mode = "666"\nmax_connections_per_client = 3\n').listen[0]
    assert (listen.role, listen.socket_mode, listen.max_connections_per_client) == ("local", "0666", 3)
    assert load(LISTEN.format(25)).listen[0].path == ""
    assert load(LISTEN.format(25)).listen[0].socket_mode is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (UNIX + 'relay_from = ["::1"]', "3: listen.relay_from: names networks, and the clients of a Unix"),
        (UNIX + 'xclient_from = ["::1"]', "3: listen.xclient_from: names networks"),
        (UNIX + 'proxy_from = ["::1"]', "3: listen.proxy_from: names networks"),
        (UNIX + 'role = "mx"\netrn_from = ["::1"]', "4: listen.etrn_from: names networks"),
        (LISTEN.format(24) + 'socket_mode = "0660"', "3: listen.socket_mode: is for a Unix socket only"),
        (UNIX + 'socket_mode = "rw"', "3: listen.socket_mode: expected a file mode in octal"),
        (UNIX + 'socket_mode = "4777"', "3: listen.socket_mode: expected a file mode in octal"),
        (UNIX + 'role = "submission"', "3: listen.role: nobody could send"),
        (
            UNIX + 'role = "submission"\n' + AUTH + 'clear_from = ["::1"]',
            "2: listen.address: nobody could log in: there is no TLS here, and no auth",
        ),
        (UNIX + UNIX, "4: listen.address: unix:/run/m/s is already listened on by line 2"),
    ],
)
def test_what_a_unix_socket_cannot_have(text: str, why: str) -> None:
    """No client of it has an address, and so a name for one would mean nobody, or everybody."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert why in str(caught.value)


def test_what_is_said_goes_before_what_follows() -> None:
    listen = load(LISTEN.format(25) + 'role = "local"\n').listen[0]
    assert (listen.role, listen.relay_from) == ("local", LOOPBACK)
    listen = load(LISTEN.format(25) + 'relay_from = ["192.0.2.0/24"]\n').listen[0]
    assert (listen.role, listen.relay_from) == ("mx", ("192.0.2.0/24",))


def test_submission_wants_a_login() -> None:
    """SUB-1: AUTH is supported, and required of whoever is not authorized otherwise."""
    config = load(LISTEN.format(587) + 'tls = "none"\n' + AUTH + 'clear_from = ["192.0.2.0/24"]\n')
    listen = config.listen[0]
    assert (listen.role, listen.auth, listen.relay_from) == ("submission", True, ())
    assert config.auth is not None
    assert (config.auth.passwords, config.auth.clear_from) == ("/etc/pw", ("192.0.2.0/24",))
    listen = load(LISTEN.format(587) + 'relay_from = ["192.0.2.0/24"]\n').listen[0]
    assert (listen.role, listen.auth) == ("submission", False)


@pytest.mark.parametrize("other", ['dovecot = "/run/d"', 'program = ["true"]', 'checkpassword = ["true"]'])
def test_scram_is_not_named_beside_what_has_no_keys(other: str) -> None:
    """AUT-1: it would never be offered, as clients that choose it would be locked out."""
    head = LISTEN.format(2525) + 'auth = true\n[auth]\nclear_from = ["::1"]\n' + other
    with pytest.raises(ConfigError, match="SCRAM-SHA-256 needs passwords"):
        load(head + '\nmechanisms = ["SCRAM-SHA-256"]')
    with pytest.raises(ConfigError, match="SCRAM-SHA-256 cannot be offered beside ") as caught:
        load(head + '\nmechanisms = ["PLAIN", "SCRAM-SHA-256"]\npasswords = "pw"')
    assert str(caught.value).endswith(f"{other.split()[0]}, which has no keys for it")
    assert load(head + '\nmechanisms = ["PLAIN"]\npasswords = "pw"').auth is not None
    oauth = (
        LISTEN.format(2525)
        + 'auth = true\n[auth]\nclear_from = ["::1"]\noauth = ["true"]\npasswords = "pw"\n'
    )
    assert load(oauth + 'mechanisms = ["SCRAM-SHA-256", "XOAUTH2"]').auth is not None


def test_programs_of_auth_are_found_beside_the_file() -> None:
    auth = load(
        LISTEN.format(2525)
        + 'auth = true\n[auth]\nprogram = ["./check", "-x"]\noauth = ["check-token"]\n'
        + 'senders = "senders"\nclear_from = ["::1"]\n'
    ).auth
    assert auth is not None
    assert auth.program == ("/etc/check", "-x")
    assert auth.oauth == ("check-token",)
    assert auth.senders == "/etc/senders"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (LISTEN.format(25) + 'role = "lmtp"\n', "3: listen.role: LMTP must not be spoken on port 25"),
        (LISTEN.format(465), "2: listen.address: implicit TLS needs a certificate in [tls]"),
        (
            LISTEN.format(25) + 'tls = "starttls"\n',
            "3: listen.tls: starttls TLS needs a certificate in [tls]",
        ),
        (LISTEN.format(25) + "require_tls = true\n", "3: listen.require_tls: contradicts tls"),
        (LISTEN.format(25) + "auth = true\n", "3: listen.auth: needs an [auth]"),
        (LISTEN.format(587) + AUTH, "2: listen.address: nobody could log in: there is no TLS here"),
        (LISTEN.format(587), "2: listen.address: nobody could send through a submission listener"),
        (LISTEN.format(25) + "add_sender = true\n", "3: listen.add_sender: needs auth = true"),
        (
            LISTEN.format(24) + 'etrn_from = ["::1"]\n',
            "3: listen.etrn_from: a lmtp listener does not offer ETRN",
        ),
        (LISTEN.format(25) + AUTH, "3: auth: no listener uses it"),
        (AUTH, "1: auth: no listener uses it"),
        (
            LISTEN.format(587) + "[auth]\n",
            "3: auth: expected one of passwords, dovecot, program, checkpassword, oauth",
        ),
        (
            LISTEN.format(587) + AUTH + 'mechanisms = ["PLAIN", "XOAUTH2"]\n',
            "5: auth.mechanisms: XOAUTH2 needs oauth or dovecot",
        ),
        (
            LISTEN.format(587) + AUTH + 'mechanisms = ["CRAM-MD5"]\n',
            "5: auth.mechanisms: expected a SASL mechanism: PLAIN, LOGIN,",
        ),
        (
            LISTEN.format(587) + AUTH + 'mechanisms = ["SCRAM-SHA256"]\n',
            "5: auth.mechanisms: expected a SASL mechanism: PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS, "
            'OAUTHBEARER, XOAUTH2, EXTERNAL (did you mean "SCRAM-SHA-256"?)',
        ),
        (
            LISTEN.format(25) + 'extensions_off = ["SIZE", "PIPELINNING"]\n',
            '3: listen.extensions_off: expected the keyword of an extension (did you mean "PIPELINING"?)',
        ),
        (
            LISTEN.format(25) + 'extensions_off = ["AUTH"]\n',
            "3: listen.extensions_off: AUTH is not switched off here: say auth = false",
        ),
        (LISTEN.format(25) + 'role = "MX"\n', '3: listen.role: expected "mx" or "submission" or '),
    ],
)
def test_contradictions_are_errors_with_their_line(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value).startswith(f"/etc/m.toml:{line}")


def test_keywords_are_taken_in_any_case() -> None:
    listen = load(LISTEN.format(25) + 'extensions_off = ["pipelining"]\n').listen[0]
    assert listen.extensions_off == ("PIPELINING",)


def test_whose_domains_are_looked_up() -> None:
    """SEC-7, MX-4: recipients' at a submission listener, senders' where it is asked for."""
    found = load(
        "[[listen]]\naddress = ':25'\n[[listen]]\naddress = ':2525'\ncheck_sender_domain = true\n"
    ).listen
    assert [(one.check_sender_domain, one.check_recipient_domain) for one in found] == [
        (False, False),
        (True, False),
    ]
    text = "[[listen]]\naddress = ':587'\nrelay_from = ['192.0.2.0/24']\n"
    assert load(text).listen[0].check_recipient_domain
    assert not load(text + "check_recipient_domain = false\n").listen[0].check_recipient_domain
    with pytest.raises(ConfigError, match="check_sender_domain: needs the DNS"):
        load("[[listen]]\naddress = ':25'\ncheck_sender_domain = true\n[dns]\nenabled = false\n")
