"""Which mechanism a client takes, and what it says (AUT-10; RFC 4954)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.smtp import sasl
from mether.smtp.sasl_client import BadServer, Credentials, choose

ALL = sasl.MECHANISMS
BOTH = Credentials("ann", "pw", token="tok")


def chosen(offered, credentials, *, secure=True, binding=None):
    exchange = choose(offered, credentials, secure=secure, binding=binding, random=bytes)
    return exchange and exchange.mechanism


@pytest.mark.parametrize(
    ("offered", "credentials", "secure", "binding", "mechanism"),
    [
        (ALL, BOTH, True, b"x", "SCRAM-SHA-256-PLUS"),
        (ALL, BOTH, True, None, "SCRAM-SHA-256"),
        (("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"), BOTH, True, None, "OAUTHBEARER"),
        (("PLAIN", "LOGIN", "XOAUTH2"), BOTH, True, None, "XOAUTH2"),
        (("login", "plain"), BOTH, True, None, "PLAIN"),
        (("LOGIN",), BOTH, True, None, "LOGIN"),
        (("CRAM-MD5", "GSSAPI"), BOTH, True, None, None),
        ((), BOTH, True, None, None),
        (ALL, Credentials("ann", token="tok"), True, b"x", "OAUTHBEARER"),
        (ALL, Credentials("ann", "pw", mechanisms=["login"]), True, b"x", "LOGIN"),
        (ALL, Credentials("", mechanisms=["EXTERNAL"]), True, None, "EXTERNAL"),
        (ALL, Credentials("", mechanisms=["EXTERNAL"]), False, None, None),
        (ALL, Credentials("ann", "pw"), False, None, "SCRAM-SHA-256"),
        (("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"), BOTH, False, None, None),
    ],
)
def test_the_strongest_that_may_be_used(offered, credentials, secure, binding, mechanism):
    """AUT-10: no password and no token is shown to a server that was not verified."""
    assert chosen(offered, credentials, secure=secure, binding=binding) == mechanism


def test_it_tells_the_server_that_plus_was_missing():
    """RFC 5802 section 6: y when the client could bind and saw no -PLUS."""

    def initial(offered, binding, credentials=BOTH):
        return choose(offered, credentials, secure=True, binding=binding, random=bytes).initial[:1]

    assert initial(("SCRAM-SHA-256",), b"x") == b"y"
    assert initial(("SCRAM-SHA-256",), None) == b"n"
    only = Credentials("ann", "pw", mechanisms=["SCRAM-SHA-256"])
    assert initial(("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), b"x", only) == b"n"


def test_plain_has_all_in_its_command():
    exchange = choose(("PLAIN",), BOTH, secure=True, binding=None, random=bytes)
    assert exchange.line() == "PLAIN AGFubgBwdw=="
    assert exchange.finished
    with pytest.raises(BadServer):
        exchange.respond(b"")


def test_an_initial_response_that_is_too_long_waits_for_the_334():
    """RFC 4954 section 4: the AUTH command is still subject to the line's limit."""
    credentials = Credentials("ann", token="t" * 600)
    exchange = choose(("OAUTHBEARER",), credentials, secure=True, binding=None, random=bytes)
    assert exchange.line() == "OAUTHBEARER"
    assert exchange.respond(b"") == exchange.initial
    exchange = choose(("OAUTHBEARER",), credentials, secure=True, binding=None, random=bytes)
    exchange.line()
    with pytest.raises(BadServer):
        exchange.respond(b"hello")


def test_external_is_an_empty_initial_response():
    exchange = choose(
        ("EXTERNAL",), Credentials("", mechanisms=["EXTERNAL"]), secure=True, binding=None, random=bytes
    )
    assert exchange.line() == "EXTERNAL ="


def test_login_is_asked_twice():
    exchange = choose(("LOGIN",), BOTH, secure=True, binding=None, random=bytes)
    assert exchange.line() == "LOGIN"
    assert not exchange.finished
    assert exchange.respond(b"User Name\0") == b"ann"
    assert exchange.respond(b"") == b"pw"
    assert exchange.finished
    with pytest.raises(BadServer):
        exchange.respond(b"again?")


def test_names_are_prepared_where_they_can_be():
    """RFC 4616 section 2; what SASLprep refuses goes as it is, and never with SCRAM."""
    both = Credentials("\u2168", "a\u00adb")
    exchange = choose(("PLAIN",), both, secure=True, binding=None, random=bytes)
    assert exchange.initial == b"\0IX\0ab"
    odd = Credentials("ann", "a\x07b")
    assert choose(("PLAIN",), odd, secure=True, binding=None, random=bytes).initial == b"\0ann\0a\x07b"
    assert chosen(("SCRAM-SHA-256",), odd) is None


@pytest.mark.parametrize(
    "named",
    [{"user": ""}, {"user": "a\udcff"}, {"user": "a\0b"}, {"user": "ann", "password": ""},
     {"user": "ann", "password": "a\0"},
     {"user": "ann", "token": "a b"}, {"user": "ann", "token": "a\x01"}, {"user": "ann", "token": "é"},
     {"user": "a" * 256}, {"user": "ann", "password": "p" * 1025},
     {"user": "ann", "mechanisms": ["CRAM-MD5"]}],
)  # fmt: skip
def test_credentials_that_no_mechanism_could_send(named):
    with pytest.raises(ValueError, match=r"."):
        Credentials(**named)


def test_nothing_secret_is_shown():
    """AUT-5."""
    assert repr(Credentials("ann", "geheim", token="t0ken")) == "Credentials('ann')"


@given(
    st.sampled_from(ALL),
    st.booleans(),
    st.lists(st.binary(max_size=40) | st.sampled_from([b"", b"Username:", b"e=x", b"v=AAAA"]), max_size=5),
)
def test_no_server_makes_it_raise_anything_else(mechanism, begins, challenges):
    """Whatever a server says is answered or is BadServer; what proves nothing is not finished."""
    credentials = Credentials("ann", "pw", token="t" * (600 if begins else 6), mechanisms=[mechanism])
    exchange = choose([mechanism], credentials, secure=True, binding=b"x", random=bytes)
    line = exchange.line()
    assert line.split(" ")[0] == mechanism
    assert len(line) <= 512
    try:
        for challenge in challenges:
            assert isinstance(exchange.respond(challenge), bytes)
    except BadServer:
        pass
    if mechanism.startswith("SCRAM"):
        assert not exchange.finished
