"""OAUTHBEARER and XOAUTH2 (AUT-9; RFC 7628)."""

import json

import pytest

from mether.smtp import sasl
from mether.smtp.sasl import ACCEPTED, DISABLED, REJECTED, TEMPORARY, Answer, Challenge, CheckToken
from mether.smtp.sasl_client import BadServer
from mether.smtp.sasl_oauth import ClientBearer, ClientXoauth2

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
BEARER = (
    b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer "
    + TOKEN.encode()
    + b"\x01\x01"
)
XOAUTH2 = b"user=user@example.com\x01auth=Bearer " + TOKEN.encode() + b"\x01\x01"
EACH = pytest.mark.parametrize(("mechanism", "message"), [("OAUTHBEARER", BEARER), ("XOAUTH2", XOAUTH2)])


def begin(mechanism, message):
    exchange = sasl.server(mechanism, random=bytes, secret=b"")
    return exchange, exchange.begin(message)


@EACH
def test_a_good_token(mechanism, message):
    """RFC 7628 section 4.1."""
    exchange, step = begin(mechanism, message)
    assert isinstance(step, CheckToken)
    assert (step.login, step.token, step.mechanism) == ("user@example.com", TOKEN, mechanism)
    assert exchange.answer(ACCEPTED).login == "user@example.com"


@EACH
@pytest.mark.parametrize("dummy", [b"\x01", b""])
def test_a_bad_token_is_told_in_json_and_then_refused(mechanism, message, dummy):
    """AUT-9: 334 with status, then the client's AQ==, then 535 5.7.8."""
    exchange, _ = begin(mechanism, message)
    step = exchange.answer(REJECTED)
    assert isinstance(step, Challenge)
    told = json.loads(step.data)
    assert told["status"] in ("invalid_token", "401")
    assert "schemes" in told
    assert str(exchange.respond(dummy).reply).startswith("535 5.7.8")


@EACH
def test_other_answers_end_it_at_once(mechanism, message):
    exchange, _ = begin(mechanism, message)
    assert exchange.answer(TEMPORARY).reply.code == 454
    exchange, _ = begin(mechanism, message)
    assert exchange.answer(DISABLED).reply.code == 525


def test_the_token_may_tell_the_name():
    message = b"n,,\x01auth=bearer abc\x01\x01"
    exchange, step = begin("OAUTHBEARER", message)
    assert (step.login, step.token) == ("", "abc")
    assert exchange.answer(Answer("accepted", login="ann")).login == "ann"
    exchange, _ = begin("OAUTHBEARER", message)
    assert isinstance(exchange.answer(ACCEPTED), Challenge)  # accepted, but as nobody: refused


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\x01", 501),
        (b"", 501),
        (b"n,,", 501),
        (b"n,,\x01\x01", 501),
        (b"n,,\x01auth=Bearer \x01\x01", 501),
        (b"n,,\x01auth=Basic abc\x01\x01", 501),
        (b"n,,\x01auth=Bearer a b\x01\x01", 501),
        (b"n,,\x01auth=Bearer \xff\x01\x01", 501),
        (b"n,,\x01auth=Bearer abc\x01auth=Bearer abc\x01\x01", 501),
        (b"n,,\x01auth=Bearer " + b"a" * 8193 + b"\x01\x01", 501),
        (b"p=tls-unique,,\x01auth=Bearer abc\x01\x01", 535),
        (b"n,a=a\x07,\x01auth=Bearer abc\x01\x01", 535),
    ],
)
def test_malformed_messages(message, code):
    assert begin("OAUTHBEARER", message)[1].reply.code == code


@pytest.mark.parametrize(("message", "code"), [(b"user=a\x01", 501), (b"\x01auth=Bearer abc\x01\x01", 535)])
def test_malformed_messages_of_xoauth2(message, code):
    assert begin("XOAUTH2", message)[1].reply.code == code


def test_what_our_clients_send():
    assert ClientBearer("user@example.com", TOKEN, "server.example.com", 587).initial == BEARER
    assert ClientXoauth2("user@example.com", TOKEN).initial == XOAUTH2
    assert begin("OAUTHBEARER", ClientBearer("a,b=c", "t").initial)[1].login == "a,b=c"


@pytest.mark.parametrize(
    ("exchange", "dummy"), [(ClientBearer("a", "t"), b"\x01"), (ClientXoauth2("a", "t"), b"")]
)
def test_a_refused_client_asks_for_the_reply(exchange, dummy):
    """RFC 7628 section 3.2.3."""
    assert exchange.finished
    assert exchange.respond(b'{"status":"401"}') == dummy
    assert exchange.refusal == b'{"status":"401"}'
    assert not exchange.finished
    with pytest.raises(BadServer):
        exchange.respond(b"")
