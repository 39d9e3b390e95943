"""[[login]], and the TLS of routes: what they take, what contradicts itself, and what is made of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mether.outcome import Route
from mether.routing import target
from mether.setup import relaying, sending
from mether.setup.config import Config, loads
from mether.setup.locate import ConfigError

PRINT = "ab" * 32


def read(text: str) -> Config:
    return loads(text, "/etc/mether/mether.toml", environ={})


ROUTE = '[[route]]\ndomains = ["a.test"]\n'
LOGIN = '[[login]]\nuser = "ann"\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (ROUTE + 'maildir = "m/{user}"\ntls = "may"', 4, "tls: is for smtp, lmtp and mx"),
        (
            ROUTE + 'lmtp = "unix:/run/x"\ntls = "may"',
            4,
            "tls: does nothing: there is no TLS over a Unix socket",
        ),
        (ROUTE + 'mx = true\ntls = "fingerprint"', 4, "tls: expected tls_fingerprints beside it"),
        (
            ROUTE + f'mx = true\ntls = "verify"\ntls_fingerprints = ["{PRINT}"]',
            5,
            "tls_fingerprints: does nothing without",
        ),
        (
            ROUTE + f'mx = true\ntls = "fingerprint"\ntls_fingerprints = ["{PRINT}"]\ntls_names = ["x"]',
            6,
            "tls_names: does nothing beside",
        ),
        (ROUTE + 'mx = true\ntls_fingerprints = ["ab"]', 4, "64 hexadecimal digits"),
        (ROUTE + 'mx = true\ntls_names = ["a b"]', 4, "expected a host name"),
        (ROUTE + 'mx = true\ntls = "maybe"', 4, 'did you mean "may"'),
        (
            ROUTE
            + 'smtp = "h.test:25"\ntls = "may"\n'
            + ROUTE.replace("a.test", "b.test")
            + 'smtp = "h.test:25"',
            7,
            "the route on line 3 goes to the same next hop with other TLS",
        ),
        ('[tls]\nsend = "fingerprint"', 2, '"fingerprint" is for routes'),
        ('[tls]\nsend = "always"', 2, 'expected "none" or "may" or "encrypt" or "verify"'),
        (LOGIN + 'password = "secret"', 3, "login.password: unknown key: a secret does not belong into"),
        (
            ROUTE + 'smtp = "h.test"\nlogin = { user = "ann", password = "secret" }',
            4,
            "(mode 0600), and name that in password_file",
        ),
        (LOGIN, 1, "expected one of password_file, password_command"),
        (LOGIN + 'password_env = "A"\ntoken_command = ["x"]', 4, "token_command: contradicts password_env"),
        ('[[login]]\npassword_env = "A"', 1, "user: missing"),
        (LOGIN + 'password_env = "A"\nmechanisms = ["EXTERNAL"]', 3, "password_env: does nothing"),
        (LOGIN + 'password_env = "A"\nmechanisms = ["XOAUTH2"]', 4, "need token_command"),
        (LOGIN + 'token_command = ["x"]\nmechanisms = ["PLAIN"]', 4, "a token is for OAUTHBEARER"),
        (LOGIN + 'password_env = "A"\nmechanisms = ["GSSAPI"]', 4, "expected a SASL mechanism"),
        (LOGIN + 'password_credential = "../x"', 3, "without a path"),
        (LOGIN + 'pasword_env = "A"', 3, "did you mean password_env"),
        ("[login]\n", 1, "expected [[login]] with two brackets"),
    ],
)
def test_what_contradicts_itself(text: str, line: int, words: str):
    """One line: the file, the line, the key, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith("/etc/mether/mether.toml:")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert f"toml:{line}:" in str(caught.value)


def test_files_are_beside_the_configuration():
    config = read(LOGIN + 'password_file = "secret"\n[[login]]\nuser = "b"\ntoken_command = ["./token", "b"]')
    assert config.login[0].password_file == "/etc/mether/secret"
    assert config.login[1].token_command == ("/etc/mether/token", "b")
    assert read('[tls]\nca = "ca.pem"').tls.ca == "/etc/mether/ca.pem"


@pytest.mark.parametrize(
    ("route", "level", "names", "given"),
    [
        (Route("smtp", "[smart.test]"), "verify", ("mx.smart.test",), True),
        (Route("smtp", "by-mx.test"), "encrypt", (), True),
        (Route("smtp", "named.test"), "may", (".named.test",), False),
        (Route("smtp", "other.test"), "may", (), False),
        (Route("smtp", "smart-a.test"), "may", (), False),
        (Route("smtp", "by-mx.test:2525"), "may", (), False),
        (Route("lmtp", "unix:/run/lmtp"), "may", (), False),
        (Route("maildir", "x"), "may", (), False),
    ],
)
def test_the_policy_of_a_next_hop(route: Route, level: str, names: tuple[str, ...], given: bool):
    """TLS-5: per destination; for a target its route's, for a domain by MX the route's that takes it."""
    config = read(
        '[[route]]\ndomains = ["smart-a.test"]\nsmtp = "[smart.test]"\n'
        'tls = "verify"\ntls_names = ["MX.smart.test"]\n'
        '[[route]]\ndomains = ["by-mx.test"]\nmx = true\ntls = "encrypt"\n'
        '[[route]]\ndomains = ["named.test"]\nmx = true\ntls_names = [".named.test"]\n'
        '[[route]]\ndomains = ["box.test"]\nlmtp = "unix:/run/lmtp"\n'
    )
    policy = sending.policies(config, config.router())(route)
    assert (policy.level, policy.names, policy.given) == (level, names, given)


def test_the_level_for_all():
    config = read('[tls]\nsend = "verify"')
    assert sending.policies(config, config.router())(Route("smtp", "a.test")).level == "verify"


def test_the_logins(tmp_path: Path):
    config = read(
        '[[login]]\nnext_hop = "smart.test"\nsender = "*@a.test"\nuser = "ann"\npassword_credential = "p"\n'
        '[[login]]\nuser = "b"\ntoken_command = ["token"]\nmechanisms = ["xoauth2"]'
    )
    logins = sending.logins(config)
    smart = target.parse("smart.test:587")
    first, second = logins.choose(smart, "x@a.test"), logins.choose(smart, "")
    assert first is not None
    assert second is not None
    assert (first.user, first.source, first.where, first.token) == ("ann", "credential", "p", False)
    assert (second.user, second.source, second.where, second.token) == ("b", "command", ("token",), True)
    assert second.mechanisms == ("XOAUTH2",)
    assert not sending.logins(read(""))


def test_our_certificate_is_shown_for_external_only(tmp_path: Path):
    import certificates

    chain, key = certificates.pair(tmp_path, "us.example.com")
    text = f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\n'
    assert sending.client_tls(read(text))._certificate is None
    external = sending.client_tls(read(text + '[[login]]\nmechanisms = ["EXTERNAL"]'))
    assert external._certificate == (chain, key)


def test_files_that_mail_would_wait_for(tmp_path: Path):
    """config --check: each with its place in the file, and never the secret."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, mode in ((good, 0o600), (bad, 0o644)):
        path.write_text("very secret")
        path.chmod(mode)
    text = '[tls]\nca = "/nonexistent/ca"\n'
    for path in (good, bad, tmp_path / "none"):
        text += f'[[login]]\nuser = "a"\npassword_file = "{path}"\n'
    lines = list(sending.troubles(read(text)))
    assert lines[0] == "/etc/mether/mether.toml:2: tls.ca: /nonexistent/ca: No such file or directory"
    assert lines[1].startswith(
        f"/etc/mether/mether.toml:8: login.password_file: {bad}: others may read it (mode 0644)"
    )
    assert lines[2].startswith(
        f"/etc/mether/mether.toml:11: login.password_file: {tmp_path}/none: No such file"
    )
    assert len(lines) == 3
    assert "secret" not in "".join(lines)
    assert list(sending.troubles(read(""))) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file to somebody else")
def test_a_password_of_another_user_is_only_a_warning(tmp_path: Path):
    """Root looks at a file that is for the service's own user."""
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(0o600)
    os.chown(path, 65534, 65534)
    config = read(f'[[login]]\nuser = "a"\npassword_file = "{path}"')
    assert list(sending.troubles(config)) == []
    assert list(sending.complaints(config)) == [
        f"/etc/mether/mether.toml:3: login.password_file: {path}: it belongs to neither us nor root"
    ]


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch):
    config = read('[[login]]\nuser = "a"\npassword_env = "METHER_TEST_SECRET"')
    monkeypatch.delenv("METHER_TEST_SECRET", raising=False)
    assert list(sending.complaints(config)) == [
        "/etc/mether/mether.toml:3: login.password_env: "
        "the environment variable METHER_TEST_SECRET is not set here"
    ]
    monkeypatch.setenv("METHER_TEST_SECRET", "x")
    assert list(sending.complaints(config)) == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("[h.test]:587", "h.test:587"),
        ("H.Test.:587", "h.test:587"),
        ("[h.test]", "h.test"),
        ("h.test", "h.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("192.0.2.1", "192.0.2.1"),
        ("[192.0.2.1]:587", "192.0.2.1:587"),
        ("[IPv6:2001:DB8::1]:587", "[2001:db8::1]:587"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("lmtp:h.test", "h.test"),
        ("unix:/run/lmtp", "unix:/run/lmtp"),
        ("[*.h.test]:587", "*.h.test:587"),
    ],
)
def test_a_login_names_its_next_hop_as_a_route_does(written: str, kept: str):
    """Written like the route's own target it fits that."""
    config = read(f'[[login]]\nnext_hop = "{written}"\nuser = "ann"\npassword_env = "P"')
    assert config.login[0].next_hop == kept
    for text in (written, kept):
        where = target.parse(text.replace("*", "any"))
        assert sending.logins(config).choose(where, "x@a.test") is not None
    elsewhere = target.parse("[other.test]:587")
    assert sending.logins(config).choose(elsewhere, "x@a.test") is None


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("next_hop", "smtp://h.test", "is a URL"),
        ("next_hop", "smtp://*", "no next hop is like this"),
        ("next_hop", "[h.test", "expected [host] or [host]:port"),
        ("next_hop", "ann@h.test", "is no target host"),
        ("sender", "<ann@a.test>", "expected an address such as"),
        ("sender", "<*@a.test>", "no address is like this"),
        ("sender", "a.test", "expected an address such as"),
    ],
)
def test_what_could_match_nothing_is_refused(key: str, text: str, words: str):
    with pytest.raises(ConfigError) as caught:
        read(f'[[login]]\n{key} = "{text}"\nuser = "ann"\npassword_env = "P"')
    assert str(caught.value).startswith(f"/etc/mether/mether.toml:2: login.{key}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("routes", "next_hop", "told"),
    [
        ('domains = ["*"]\nsmtp = "[h.test]:587"', "h.test", False),
        ('domains = ["*"]\nsmtp = "[h.test]:587"', "h.test:25", True),
        ('domains = ["*"]\nsmtp = "[h.test]:587"', "*.other.test", False),
        ('domains = ["a.test"]\nsmtp = "[h.test]:587"', "b.test", False),
        ('domains = ["a.test"]\nsmtp = "[h.test]:587"', "b.test:587", True),
        ('domains = ["*"]\nmx = true', "b.test", False),
        ('domains = ["*"]\nlmtp = "unix:/run/x"', "unix:/run/x", False),
        ('domains = ["*"]\nlmtp = "unix:/run/x"', "unix:/run/y", True),
    ],
)
def test_a_login_for_no_next_hop_of_ours_is_told(routes: str, next_hop: str, told: bool):
    """Where mail goes by MX any domain may be one, on port 25."""
    text = f'[[route]]\n{routes}\n[[login]]\nnext_hop = "{next_hop}"\nuser = "ann"\npassword_env = "P"'
    config = read(text)
    assert bool(list(sending.unused(config, config.router()))) is told


NAMED = '[[route]]\nname = "{0}"\nsender = ["*@{0}.test"]\nsmtp = ["one.test:587", "two.test:587"]\n'


def test_how_mail_of_a_route_goes_out() -> None:
    config = read(
        NAMED.format("sales")
        + 'helo = "sales.test"\nsource = ["192.0.2.7"]\nfailover = ["4.7."]\n'
        + 'login = { user = "sales", password_env = "P" }\n'
        + NAMED.format("shop")
        + '[[route]]\nsmtp = ["one.test:587", "two.test:587"]\n'
    )
    manner = sending.manners(config, config.router())
    sales = manner(Route("smtp", "one.test:587,two.test:587", via="sales"))
    assert (sales.helo, sales.sources) == ("sales.test", ("192.0.2.7",))
    assert sales.login is not None and sales.login.user == "sales" and sales.login.shared
    assert sales.failover is not None and sales.failover.patterns == ("4.7.",)
    for via in ("shop", ""):
        plain = manner(Route("smtp", "one.test:587,two.test:587", via=via))
        assert not (plain.helo or plain.sources or plain.login or plain.failover or plain.trouble)


@pytest.mark.parametrize(
    ("next_hop", "via", "words"),
    [
        ("one.test:587,two.test:587", "gone", "has no route of that name"),
        ("old.test:587", "sales", "has the route lead elsewhere now"),
        ("one.test:587", "sales", "has the route lead elsewhere now"),
    ],
)
def test_mail_of_a_route_that_is_gone_waits(next_hop: str, via: str, words: str) -> None:
    """No host is shown another's login: whoever changed the configuration says what becomes of the mail."""
    config = read(NAMED.format("sales") + 'login = { user = "sales", password_env = "P" }\n')
    trouble = sending.manners(config, config.router())(Route("smtp", next_hop, via=via)).trouble
    assert trouble is not None
    assert (trouble.code, trouble.status) == (451, "4.3.5")
    assert words in trouble.text and f"route {via}:" in trouble.text


def test_a_named_route_by_mx_leads_to_every_domain() -> None:
    config = read('[[route]]\nname = "out"\nmx = true\nhelo = "out.test"\n')
    assert sending.manners(config, config.router())(Route("smtp", "any.test", via="out")).helo == "out.test"


def test_the_limits_and_the_tls_of_named_routes() -> None:
    """The same hosts, with a name each: nothing of one holds for the other."""
    text = (
        NAMED.format("sales") + 'tls = "none"\nconnections = 1\n' + NAMED.format("shop") + 'tls = "verify"\n'
    )
    config = read(text)
    router = config.router()
    policy, limits = sending.policies(config, router), relaying.limits(config, router)
    hop = "one.test:587,two.test:587"
    assert [policy(Route("smtp", hop, via=via)).level for via in ("sales", "shop")] == ["none", "verify"]
    assert [limits(Route("smtp", hop, via=via)).connections for via in ("sales", "shop")] == [1, 20]


def test_the_secrets_of_routes_are_looked_at_too(tmp_path: Path) -> None:
    text = NAMED.format("sales") + f'login = {{ user = "sales", password_file = "{tmp_path}/none" }}\n'
    (line,) = sending.troubles(read(text))
    assert line == (
        f"/etc/mether/mether.toml:5: route.login.password_file: {tmp_path}/none: No such file or directory"
    )


def test_a_login_for_one_host_of_a_list_is_used() -> None:
    text = (
        LOGIN
        + 'password_env = "P"\nnext_hop = "two.test"\n'
        + '[[route]]\nsmtp = ["one.test:587", "two.test:587"]'
    )
    config = read(text)
    assert not list(sending.unused(config, config.router()))
