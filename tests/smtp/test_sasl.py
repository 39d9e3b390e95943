"""The server's half of AUTH: each mechanism's steps and replies (RFC 4954, RFC 4616)."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mether.smtp import sasl
from mether.smtp.sasl import (
    ACCEPTED,
    DISABLED,
    REJECTED,
    TEMPORARY,
    Answer,
    Challenge,
    CheckPassword,
    CheckToken,
    Done,
    Failed,
    FindKeys,
    SaslError,
    decode,
    decode_initial,
    encode,
)


def random(count):
    return bytes(range(count))


def server(mechanism, **named):
    return sasl.server(mechanism, random=random, secret=b"secret", **named)


class TestBase64:
    """AUT-3: strict base64, cancelling, the empty initial response."""

    @given(st.binary(max_size=300))
    def test_round_trip(self, data):
        assert decode(encode(data)) == data

    @pytest.mark.parametrize(
        "line",
        ["=AAA", "AAA=BBB", "AAA", "A", "AA=", "AAAA====", "AA==AAAA", "AA AA", "AAAA\r", "é" * 4, "=",
         "-_AA", "AAAA ", "*AAA", "A==="],
    )  # fmt: skip
    def test_what_is_not_base64(self, line):
        with pytest.raises(SaslError) as caught:
            decode(line)
        assert str(caught.value.reply).startswith("501 5.5.2")

    def test_the_star_cancels(self):
        with pytest.raises(SaslError) as caught:
            decode("*")
        assert str(caught.value.reply).startswith("501 5.7.0")

    def test_too_long_is_500(self):
        decode("A" * sasl.MAX_LINE)
        with pytest.raises(SaslError) as caught:
            decode("A" * (sasl.MAX_LINE + 4))
        assert str(caught.value.reply).startswith("500 5.5.6")

    def test_initial_response(self):
        assert decode_initial("") is None
        assert decode_initial("=") == b""
        assert decode_initial("AAAA") == b"\0\0\0"
        with pytest.raises(SaslError):
            decode_initial("*")

    @given(st.text(max_size=40))
    def test_it_raises_nothing_else(self, line):
        with suppress(SaslError):
            decode(line)

    def test_an_empty_challenge_keeps_its_space(self):
        assert Challenge(b"").reply.encode() == b"334 \r\n"
        assert Challenge(b"Username:").reply.encode() == b"334 VXNlcm5hbWU6\r\n"


class TestMechanisms:
    @pytest.mark.parametrize("name", ["CRAM-MD5", "", "SCRAM-SHA-256-PLUS", "EXTERNAL", "plain "])
    def test_what_cannot_be_had_is_504(self, name):
        """AUT-2."""
        with pytest.raises(SaslError) as caught:
            server(name)
        assert str(caught.value.reply).startswith("504 5.5.4")

    def test_names_are_read_in_any_case(self):
        for name in sasl.MECHANISMS:
            assert server(name.lower(), binding=b"x", certificate="ann").mechanism == name


class TestPlain:
    """AUT-1, RFC 4616."""

    def ask(self, data):
        exchange = server("PLAIN")
        return exchange, exchange.begin(data)

    def test_success(self):
        exchange, step = self.ask(b"\0ann\0pass word")
        assert isinstance(step, CheckPassword)
        assert (step.login, step.password) == ("ann", "pass word")
        done = exchange.answer(ACCEPTED)
        assert isinstance(done, Done)
        assert (done.login, str(done.reply)[:9]) == ("ann", "235 2.7.0")

    def test_without_an_initial_response_it_asks(self):
        exchange = server("PLAIN")
        assert exchange.begin(None).data == b""
        assert isinstance(exchange.respond(b"\0ann\0p"), CheckPassword)

    @pytest.mark.parametrize(
        ("answer", "reply"),
        [(REJECTED, "535 5.7.8"), (TEMPORARY, "454 4.7.0"), (DISABLED, "525 5.7.13")],
    )
    def test_the_reply_of_each_answer(self, answer, reply):
        """AUT-4."""
        exchange, _ = self.ask(b"\0ann\0p")
        assert str(exchange.answer(answer).reply).startswith(reply)

    @pytest.mark.parametrize("data", [b"", b"ann\0p", b"a\0b\0c\0d", b"\0\0\0\0", b"ann"])
    def test_malformed_is_501(self, data):
        """AUT-3."""
        assert str(self.ask(data)[1].reply).startswith("501 5.5.2")

    @pytest.mark.parametrize(
        "data",
        [b"\0\0p", b"\0ann\0", b"\0\xff\0p", b"\0ann\0\xff", b"\0a\x07\0p", b"\0" + b"a" * 256 + b"\0p",
         b"\0ann\0" + b"p" * 1025, b"bob\0ann\0p", b"\xff\0ann\0p"],
    )  # fmt: skip
    def test_what_nobody_can_be_is_535(self, data):
        """AUT-4: and a foreign authorization identity."""
        assert str(self.ask(data)[1].reply).startswith("535 5.7.8")

    def test_the_own_identity_may_be_named(self):
        assert isinstance(self.ask(b"ann\0ann\0p")[1], CheckPassword)

    def test_names_and_passwords_are_prepared(self):
        """RFC 4616 section 2: SASLprep."""
        step = self.ask("\0\u2168\0a\u00adb".encode())[1]
        assert (step.login, step.password) == ("IX", "ab")

    def test_the_backend_may_know_a_better_name(self):
        exchange, _ = self.ask(b"\0ANN\0p")
        assert exchange.answer(Answer("accepted", login="ann@x.test")).login == "ann@x.test"


class TestLogin:
    def test_the_two_questions(self):
        exchange = server("LOGIN")
        assert exchange.begin(None).data == b"Username:"
        assert exchange.respond(b"ann").data == b"Password:"
        step = exchange.respond(b"secret")
        assert (step.login, step.password) == ("ann", "secret")
        assert exchange.answer(ACCEPTED).login == "ann"

    def test_a_name_with_the_command_is_taken(self):
        """smtplib and msmtp send it."""
        exchange = server("LOGIN")
        assert exchange.begin(b"ann").data == b"Password:"

    def test_an_empty_name_is_refused_after_the_password(self):
        exchange = server("LOGIN")
        exchange.begin(b"")
        assert str(exchange.respond(b"p").reply).startswith("535 5.7.8")


class TestExternal:
    def test_the_certificate_names_the_client(self):
        exchange = server("EXTERNAL", certificate="ann@x.test")
        assert exchange.begin(b"").login == "ann@x.test"
        exchange = server("EXTERNAL", certificate="ann@x.test")
        assert exchange.begin(None).data == b""
        assert exchange.respond(b"ann@x.test").login == "ann@x.test"

    def test_no_one_else(self):
        exchange = server("EXTERNAL", certificate="ann@x.test")
        assert str(exchange.begin(b"bob@x.test").reply).startswith("535 5.7.8")


ANSWERS = st.sampled_from(
    [ACCEPTED, REJECTED, TEMPORARY, DISABLED, Answer("accepted", login="x"),
     Answer.found(sasl.ScramKeys(4096, b"salt", b"s" * 32, b"k" * 32))]
)  # fmt: skip
MESSAGES = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"n", b"y", b"p=tls-server-end-point", b",", b"a=", b"ann", b"n=", b"r=", b"c=", b"p=", b"m=",
             b"biws", b"\0", b"\x01", b"auth=", b"Bearer ", b"user=", b"=2C", b"=", b"\xff", b"abc",
             b"i=1", b"AA=="]
        ),
        max_size=14,
    ).map(b"".join),
)  # fmt: skip


@given(
    st.sampled_from(sasl.MECHANISMS),
    st.none() | MESSAGES,
    st.lists(st.one_of(MESSAGES, ANSWERS), max_size=6),
)
@example("EXTERNAL", None, [Answer("accepted", login="x"), b""])
def test_no_input_raises_and_nothing_is_done_unasked(mechanism, initial, inputs):
    """Whatever comes in whatever order is a step; a password mechanism is never done without a question."""
    exchange = server(mechanism, binding=b"hash", certificate="ann")
    step = exchange.begin(initial)
    accepted = False
    over = isinstance(step, Failed)
    for given_ in inputs:
        asked = isinstance(step, (CheckPassword, FindKeys, CheckToken))
        if isinstance(given_, Answer):
            accepted = accepted or (asked and given_.verdict == "accepted")
            step = exchange.answer(given_)
        else:
            step = exchange.respond(given_)
        if isinstance(step, Done):
            assert step.login
            assert accepted or mechanism == "EXTERNAL"
        if isinstance(step, Failed):
            over = True
        elif over:
            assert isinstance(step, Failed)  # for good
        if isinstance(step, Failed):
            assert step.reply.code in (454, 501, 525, 535)
        if isinstance(step, Challenge):
            assert len(step.reply.encode()) <= 512
            assert step.reply.encode().count(b"\r\n") == 1
