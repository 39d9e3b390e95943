"""SCRAM-SHA-256 (AUT-8; RFC 5802, RFC 7677): the vector, an oracle on both sides, and each way to cheat."""

import base64
import hashlib

import pytest
import scramp
from hypothesis import given, settings
from hypothesis import strategies as st

from mether.smtp import sasl, sasl_scram
from mether.smtp.sasl import REJECTED, TEMPORARY, Answer, Challenge, Done, Failed, FindKeys
from mether.smtp.sasl_client import BadServer

COUNT = 4096
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
KEYS = sasl_scram.keys("pencil", SALT, COUNT)
BINDING = hashlib.sha256(b"certificate").digest()


def random(count):
    return hashlib.shake_128(b"nonce").digest(count)


def other_random(count):
    return hashlib.shake_128(b"another").digest(count)


def server(mechanism="SCRAM-SHA-256", binding=None, iterations=0):
    return sasl.server(mechanism, random=random, secret=b"s", binding=binding, iterations=iterations)


def client(user="user", password="pencil", binding=None, flag="n"):
    return sasl_scram.ClientScram(user, password, other_random, binding, flag)


def first_of(exchange, message=b"n,,n=user,r=abc", answer=None):
    step = exchange.begin(message)
    assert isinstance(step, FindKeys)
    return exchange.answer(answer or Answer.found(KEYS)).data


def test_the_vector_of_rfc_7677():
    """RFC 7677 section 3, all four messages."""
    nonce = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = server()
    step = exchange.begin(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert step.login == "user"
    exchange.answer(Answer.found(KEYS))
    whole = "rOprNGfwEbeRWgbNEkqO" + nonce.decode()
    exchange._nonce = whole  # its nonce is not base64 of anything: put it in by hand
    exchange._first = f"r={whole},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
    step = exchange.respond(
        b"c=biws,r=" + whole.encode() + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert step.data == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert exchange.respond(b"").login == "user"


def test_the_client_says_what_rfc_7677_says():
    exchange = client()
    exchange._nonce = "rOprNGfwEbeRWgbNEkqO"
    exchange._bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO"
    first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert exchange.respond(first).endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert not exchange.finished
    assert exchange.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    assert exchange.finished


def run(mine, theirs, answer):
    """Our client and our server, to the end."""
    step = theirs.begin(mine.initial)
    while not isinstance(step, (Done, Failed)):
        if isinstance(step, FindKeys):
            step = theirs.answer(answer)
        else:
            assert len(step.reply.encode()) <= 512
            step = theirs.respond(mine.respond(step.data))
    return step


@pytest.mark.parametrize(
    ("mechanism", "ours", "flag", "theirs"),
    [
        ("SCRAM-SHA-256", None, "n", None),
        ("SCRAM-SHA-256", None, "n", BINDING),
        ("SCRAM-SHA-256", None, "y", None),
        ("SCRAM-SHA-256-PLUS", BINDING, "", BINDING),
    ],
)
def test_both_of_ours(mechanism, ours, flag, theirs):
    mine = client(binding=ours, flag=flag)
    assert run(mine, server(mechanism, theirs), Answer.found(KEYS)).login == "user"
    assert mine.finished


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_any_name_and_password(user, password):
    try:
        mine = client(user, password)
    except ValueError:
        return
    name = sasl.name_from(user.encode())
    keys = sasl_scram.keys(sasl.password_from(password.encode()), b"0123456789abcdef", COUNT)
    assert run(mine, server(), Answer.found(keys)).login == name
    assert mine.finished


@pytest.mark.parametrize("bound", [False, True])
def test_our_client_with_scramp_as_the_server(bound):
    mechanism = scramp.ScramMechanism("SCRAM-SHA-256-PLUS" if bound else "SCRAM-SHA-256")
    kept = mechanism.make_auth_info("pencil", iteration_count=COUNT)
    channel = ("tls-server-end-point", BINDING) if bound else None
    theirs = mechanism.make_server(lambda user: kept, channel_binding=channel)
    mine = client(binding=BINDING if bound else None)
    theirs.set_client_first(mine.initial.decode())
    theirs.set_client_final(mine.respond(theirs.get_server_first().encode()).decode())
    assert mine.respond(theirs.get_server_final().encode()) == b""
    assert mine.finished


@pytest.mark.parametrize("bound", [False, True])
def test_scramp_as_the_client_of_our_server(bound):
    name = "SCRAM-SHA-256-PLUS" if bound else "SCRAM-SHA-256"
    channel = ("tls-server-end-point", BINDING) if bound else None
    theirs = scramp.ScramClient([name], "user", "pencil", channel_binding=channel)
    exchange = server(name, BINDING if bound else None)
    first = first_of(exchange, theirs.get_client_first().encode())
    theirs.set_server_first(first.decode())
    step = exchange.respond(theirs.get_client_final().encode())
    theirs.set_server_final(step.data.decode())
    assert exchange.respond(b"").login == "user"


class TestServer:
    def test_a_wrong_password_and_an_unknown_login_look_the_same(self):
        """AUT-4: nothing shows whether the login exists."""
        shown = []
        for password, answer in (("wrong", Answer.found(KEYS)), ("pencil", REJECTED)):
            exchange = server(iterations=COUNT)
            mine = client(password=password)
            first = first_of(exchange, mine.initial, answer)
            salt = first.split(b",")[1]
            step = exchange.respond(mine.respond(first))
            shown.append((len(salt), first.rpartition(b",")[2], str(step.reply)))
        assert shown[0] == shown[1]
        assert shown[0][2].startswith("535 5.7.8")

    def test_an_unknown_login_has_the_same_salt_each_time(self):
        salts = {first_of(server(), answer=REJECTED).split(b",")[1] for _ in range(2)}
        assert len(salts) == 1
        other = first_of(server(), b"n,,n=other,r=abc", REJECTED).split(b",")[1]
        assert other not in salts

    def test_a_backend_that_is_away_is_454(self):
        exchange = server()
        exchange.begin(b"n,,n=user,r=abc")
        assert str(exchange.answer(TEMPORARY).reply).startswith("454 4.7.0")

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            (b"y,,n=user,r=abc", 535),  # -PLUS is offered: someone took it away
            (b"p=tls-server-end-point,,n=user,r=abc", 535),  # bound, yet not -PLUS
            (b"n,,m=ext,n=user,r=abc", 535),
            (b"n,,n=us=2er,r=abc", 535),
            (b"n,,n=,r=abc", 535),
            (b"n,,n=a\xcc\x80\x07,r=abc", 535),
            (b"n,a=other,n=user,r=abc", 535),
            (b"n,,n=user", 501),
            (b"n,,r=abc,n=user", 501),
            (b"n,,n=user,r=", 501),
            (b"n,,n=user,r=" + b"a" * 129, 501),
            (b"n,,n=user,r=a\xc3\xa9", 501),
            (b"n,,n=\xff,r=abc", 501),
            (b"x,,n=user,r=abc", 501),
            (b"n,b=user,n=user,r=abc", 501),
            (b"n,,", 501),
            (b"", 501),
        ],
    )
    def test_first_messages_that_are_refused(self, message, code):
        """AUT-8: the flag y, a mandatory extension, =2C and =3D; the rest is not SCRAM."""
        assert server(binding=BINDING).begin(message).reply.code == code

    def test_plus_needs_the_binding_it_knows(self):
        exchange = server("SCRAM-SHA-256-PLUS", BINDING)
        assert exchange.begin(b"p=tls-unique,,n=user,r=abc").reply.code == 535
        exchange = server("SCRAM-SHA-256-PLUS", BINDING)
        assert exchange.begin(b"n,,n=user,r=abc").reply.code == 535

    def test_another_connection_s_binding_fails(self):
        """RFC 5802 section 6: what a man in the middle has is not our certificate."""
        step = run(client(binding=b"his"), server("SCRAM-SHA-256-PLUS", BINDING), Answer.found(KEYS))
        assert step.reply.code == 535

    def test_the_login_may_name_itself(self):
        step = server().begin(b"n,a=user,n=user,r=abc")
        assert step.login == "user"
        assert server().begin(b"n,,n=a=2Cb=3Dc,r=abc").login == "a,b=c"

    @pytest.mark.parametrize(
        ("final", "code"),
        [
            (b"c=biws,r=NONCE,p=AAAA", 535),
            (b"c=biws,r=NONCE,p=" + b"A" * 43 + b"=", 535),
            (b"c=biws,r=abc,p=" + b"A" * 43 + b"=", 535),
            (b"c=eSws,r=NONCE,p=" + b"A" * 43 + b"=", 535),
            (b"c=biws,r=NONCE,m=x,p=" + b"A" * 43 + b"=", 535),
            (b"c=biws,r=NONCE", 501),
            (b"c=biws,r=NONCE,p=*", 501),
            (b"r=NONCE,c=biws,p=AAAA", 501),
            (b",p=AAAA", 501),
            (b"", 501),
        ],
    )
    def test_final_messages_that_are_refused(self, final, code):
        """AUT-8: the nonce, c= and the proof are verified."""
        exchange = server()
        nonce = first_of(exchange).split(b",")[0][2:]
        assert exchange.respond(final.replace(b"NONCE", nonce)).reply.code == code

    def test_behind_the_proof_only_an_empty_line(self):
        """RFC 4954 section 4: SMTP has no data with success."""
        exchange, mine = server(), client()
        first = first_of(exchange, mine.initial)
        assert isinstance(exchange.respond(mine.respond(first)), Challenge)
        assert exchange.respond(b"x").reply.code == 501


class TestClient:
    def first(self, mine, salt="c2FsdA==", count="4096", nonce="+"):
        return f"r={mine._nonce}{nonce},s={salt},i={count}".encode()

    @pytest.mark.parametrize(
        "challenge",
        [b"", b"e=unknown-user", b"r=other,s=c2FsdA==,i=4096", b"\xff", b"m=x,r=a,s=c2FsdA==,i=4096"],
    )
    def test_first_messages_it_does_not_take(self, challenge):
        with pytest.raises(BadServer):
            client().respond(challenge)

    @pytest.mark.parametrize(
        "named",
        [{"salt": ""}, {"salt": "*"}, {"count": "4095"}, {"count": "9999999"}, {"count": "x"},
         {"count": "²"}, {"nonce": ""}, {"nonce": " "}],
    )  # fmt: skip
    def test_values_it_does_not_take(self, named):
        """AUT-8: the server's nonce continues ours; at least 4096 iterations, and not too many."""
        mine = client()
        with pytest.raises(BadServer):
            mine.respond(self.first(mine, **named))

    @pytest.mark.parametrize("final", [b"v=AAAA", b"v=*", b"e=other-error", b"", b"v=" + b"A" * 43 + b"="])
    def test_a_server_that_does_not_know_us(self, final):
        """AUT-8: the client checks ServerSignature."""
        mine = client()
        mine.respond(self.first(mine))
        with pytest.raises(BadServer):
            mine.respond(final)
        assert not mine.finished

    @given(st.lists(st.binary(max_size=60), max_size=3))
    def test_no_server_makes_it_raise_anything_else(self, challenges):
        mine = client()
        try:
            for challenge in challenges:
                mine.respond(challenge)
        except BadServer:
            pass
        assert not mine.finished
