"""Commands: reading what clients say, writing what servers read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, AddressError, parse
from mether.envelope import Envelope, Recipient
from mether.reply import Reply
from mether.smtp import command
from mether.smtp.command import BadCommand, Command, Grammar

GRAMMAR = Grammar(["PIPELINING", "SIZE", "8BITMIME", "X-OTHER"])
PLAIN = Grammar([])


def read(line: bytes, grammar: Grammar = GRAMMAR) -> Command:
    return grammar.parse(line)


def either(line: bytes, grammar: Grammar = GRAMMAR, *, utf8: bool = False) -> Command | Reply:
    """The command, or the reply that the line deserves."""
    try:
        return grammar.parse(line, utf8=utf8)
    except BadCommand as error:
        return error.reply


def refusal(line: bytes, grammar: Grammar = GRAMMAR) -> str:
    """Code and status of the reply that a line deserves."""
    with pytest.raises(BadCommand) as caught:
        grammar.parse(line)
    reply = caught.value.reply
    assert reply.permanent
    assert all(len(part) <= 512 for part in reply.encode().split(b"\n"))
    return f"{reply.code} {reply.status}"


@pytest.mark.parametrize("line", [b"QUIT", b"quit", b"QuIt", b"quit ", b"QUIT\t", b"quit   "])
def test_verbs_have_no_case(line: bytes) -> None:
    """CMD-2: and white space at the end is nothing (RFC 5321 section 4.1.1)."""
    assert read(line).verb == "QUIT"


@pytest.mark.parametrize(
    ("line", "path", "size", "body"),
    [
        (b"MAIL FROM:<>", "", None, "7BIT"),
        (b"mail from:<Bob@X.test>", "Bob@X.test", None, "7BIT"),
        (b"MAIL From:<bob@x.test> SIZE=12 BODY=8BITMIME", "bob@x.test", 12, "8BITMIME"),
        (b"MAIL FROM:<bob@x.test>  body=8bitmime  size=0 ", "bob@x.test", 0, "8BITMIME"),
        (b"MAIL FROM:<bob@x.test> BODY=7bit", "bob@x.test", None, "7BIT"),
        (b"MAIL FROM:<bob@x.test> SIZE=" + b"9" * 20, "bob@x.test", 10**20 - 1, "7BIT"),
        (b"MAIL FROM:<@a.test,@b.test:bob@x.test>", "bob@x.test", None, "7BIT"),
        (b'MAIL FROM:<"> SIZE=1 <"@x.test> SIZE=2', '"> SIZE=1 <"@x.test', 2, "7BIT"),
        (b'MAIL FROM:<"a\\">"@x.test>', '"a\\">"@x.test', None, "7BIT"),
    ],
)
def test_mail(line: bytes, path: str, size: int | None, body: str) -> None:
    """CMD-2, CMD-15, CMD-17, SIZ-1, 8BM-1."""
    envelope = read(line).value
    assert isinstance(envelope, Envelope)
    assert (str(envelope.reverse_path or ""), envelope.size, envelope.body) == (path, size, body)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"RCPT TO:<bob@x.test>", "bob@x.test"),
        (b"rcpt to:<Bob@x.test>", "Bob@x.test"),
        (b"RCPT TO:<postmaster>", "postmaster"),
        (b"RCPT TO:<POSTMASTER>", "POSTMASTER"),
        (b"RCPT TO:<@a.test,@b.test:bob@x.test>", "bob@x.test"),
        (b"RCPT TO:<bob@[IPv6:2001:db8::1]>", "bob@[IPv6:2001:db8::1]"),
        (b"RCPT TO:<" + b"l" * 64 + b"@" + b".".join([b"d" * 61] * 3 + [b"e"]) + b">", None),
    ],
)
def test_rcpt(line: bytes, path: str | None) -> None:
    """CMD-2, CMD-15, CMD-16, LIM."""
    recipient = read(line).value
    assert isinstance(recipient, Recipient)
    assert path is None or str(recipient.forward_path) == path


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", "500 5.5.2"),
        (b" ", "500 5.5.2"),
        (b" NOOP", "500 5.5.2"),
        (b"XYZZY", "500 5.5.2"),
        (b"MAILFROM:<a@b>", "500 5.5.2"),
        (b"DATA now", "501 5.5.4"),
        (b"RSET x", "501 5.5.4"),
        (b"QUIT x", "501 5.5.4"),
        (b"EHLO", "501 5.5.4"),
        (b"HELO ", "501 5.5.4"),
        (b"EHLO a b", "501 5.5.4"),
        (b"EHLO <a>", "501 5.5.4"),
        (b"EHLO " + b"a" * 256, "501 5.5.4"),
        (b"VRFY", "501 5.5.4"),
        (b"EXPN ", "501 5.5.4"),
        (b"MAIL", "501 5.5.4"),
        (b"MAIL FROM", "501 5.5.4"),
        (b"MAIL TO:<a@b.test>", "501 5.5.4"),
        (b"MAIL FROM:a@b.test", "501 5.5.4"),
        (b"MAIL FROM: <a@b.test>", "501 5.5.4"),
        (b"MAIL  FROM:<a@b.test>", "501 5.5.4"),
        (b"MAIL FROM:<a@b.test", "501 5.5.4"),
        (b"MAIL FROM:<a@b.test>SIZE=1", "501 5.5.4"),
        (b'MAIL FROM:<"a@b.test>', "501 5.5.4"),
        (b"MAIL FROM:<a@b_c.test>", "501 5.1.7"),
        (b"MAIL FROM:<a>", "501 5.1.7"),
        (b"MAIL FROM:<postmaster>", "501 5.1.7"),
        (b"MAIL FROM:<" + b"a" * 65 + b"@b.test>", "501 5.1.7"),
        (b"MAIL FROM:<a@" + b".".join([b"d" * 63] * 4) + b">", "501 5.1.7"),
        (b"MAIL FROM:<> SIZE=", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=x", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=-1", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=1=2", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=" + b"9" * 21, "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=1 SIZE=1", "501 5.5.4"),
        (b"MAIL FROM:<> SIZE=1 size=2", "501 5.5.4"),
        (b"MAIL FROM:<> BODY", "501 5.5.4"),
        (b"MAIL FROM:<> BODY=9BIT", "501 5.5.4"),
        (b"MAIL FROM:<> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<> SMTPUTF8", "555 5.5.4"),
        (b"MAIL FROM:<> RET=FULL", "555 5.5.4"),
        (b"MAIL FROM:<> =1", "555 5.5.4"),
        (b"RCPT TO:<>", "501 5.1.3"),
        (b"RCPT TO:<bob>", "501 5.1.3"),
        (b"RCPT TO:<@a.test>", "501 5.1.3"),
        (b"RCPT TO:<bob@x.test> NOTIFY=NEVER", "555 5.5.4"),
        (b"RCPT TO:<bob@x.test> SIZE=1", "555 5.5.4"),
        (b"RCPT FROM:<bob@x.test>", "501 5.5.4"),
        (b"RCPT TO: <bob@x.test>", "501 5.5.4"),
        (b"RCPT TO:<@" + b".".join([b"d" * 63] * 4)[:250] + b":b@x.test>", "501 5.1.3"),
    ],
)
def test_refusals(line: bytes, reply: str) -> None:
    """CMD-14, CMD-18, CMD-19, CMD-21, CMD-22, SUB-3, LIM."""
    assert refusal(line) == reply


@pytest.mark.parametrize("line", [b"MAIL FROM:<> SIZE=1", b"MAIL FROM:<> BODY=7BIT"])
def test_only_parameters_of_what_is_offered(line: bytes) -> None:
    """CMD-18."""
    assert refusal(line, PLAIN) == "555 5.5.4"


@pytest.mark.parametrize("octet", [0, 1, 8, 10, 13, 27, 127])
def test_control_characters(octet: int) -> None:
    """CMD-20: RFC 5321 section 4.1.2 wants 501 for invalid character codes."""
    for line in (b"NOOP %b", b"MAIL FROM:<b%bb@x.test>", b"%bNOOP", b"NOOP%b"):
        assert refusal(line.replace(b"%b", bytes([octet]))) == "501 5.5.2"


@pytest.mark.parametrize("line", [b"EHLO m\xc3\xbcnchen.example", b"RCPT TO:<b\xff@x.test>", b"\x80"])
def test_octets_above_127(line: bytes) -> None:
    """CMD-20: 500 where SMTPUTF8 is not in use (RFC 5321 section 2.4)."""
    assert refusal(line) == "500 5.5.2"


@pytest.mark.parametrize(
    "name", [b"client.example", b"[192.0.2.1]", b"[IPv6:::1]", b"my_pc", b"localhost", b"."]
)
def test_hello_takes_odd_names(name: bytes) -> None:
    """CMD-10: the name is for log and trace; nobody is turned away for it."""
    assert read(b"EHLO " + name).argument == name.decode()


def test_noop_and_help_take_anything() -> None:
    """CMD-19."""
    assert read(b"NOOP what ever").argument == "what ever"
    assert read(b"HELP MAIL").argument == "MAIL"
    assert read(b"VRFY Bob Example").argument == "Bob Example"


def test_a_refusal_knows_its_verb() -> None:
    """So that it is counted as what it was."""
    with pytest.raises(BadCommand) as caught:
        read(b"RCPT TO:bob@x.test")
    assert caught.value.verb == "RCPT"


@given(st.binary(max_size=80))
def test_any_line_is_a_command_or_refused(line: bytes) -> None:
    """CMD-20, CMD-21: no octets break it."""
    found = either(line)
    if isinstance(found, Command):
        assert found.verb in command.VERBS
        assert found.argument.isascii()
    else:
        assert found.permanent


@given(st.sampled_from([b"MAIL FROM:", b"RCPT TO:"]), st.text(max_size=40).map(str.encode))
def test_any_path_is_understood_or_refused(start: bytes, rest: bytes) -> None:
    """What is understood can be written again and means the same."""
    found = either(start + rest)
    if isinstance(found, Reply):
        assert found.code in (500, 501, 555)
        return
    value = found.value
    if isinstance(value, Recipient):
        again = read(command.rcpt(value.forward_path)[:-2]).value
        assert again == value
    else:
        assert isinstance(value, Envelope)
        assert read(command.mail(value.reverse_path)[:-2]).value == Envelope(value.reverse_path)


FULL = Grammar(["SIZE", "SMTPUTF8", "8BITMIME", "CHUNKING", "BINARYMIME", "AUTH PLAIN", "DSN"])


@pytest.mark.parametrize(
    ("line", "verb", "size"),
    [
        (b"BDAT 0", "BDAT", 0),
        (b"bdat 10", "BDAT", 10),
        (b"BDAT  10 ", "BDAT", 10),
        (b"BDAT 10 LAST", "BDAT LAST", 10),
        (b"BDAT 10  last", "BDAT LAST", 10),
        (b"BDAT 00010 LAST", "BDAT LAST", 10),
        (b"BDAT " + b"9" * 20, "BDAT", 10**20 - 1),
    ],
)
def test_chunks(line: bytes, verb: str, size: int) -> None:
    """BDT-1: whether it is offered or not, its octets are known."""
    for grammar in (FULL, PLAIN):
        found = read(line, grammar)
        assert (found.verb, found.value) == (verb, size)


@pytest.mark.parametrize(
    "line",
    [
        b"BDAT", b"BDAT ", b"BDAT LAST", b"BDAT x", b"BDAT -1", b"BDAT +1", b"BDAT 1.0", b"BDAT 0x10",
        b"BDAT 10 LAST LAST", b"BDAT 10 FIRST", b"BDAT 10,LAST", b"BDAT " + b"1" * 21, b"BDAT\t10",
        b"BDAT 10\tLAST x", b"BDAT 10\nLAST", b"BDAT 1\0", b"bdat 10\r", b"BDAT\n10", b"BDAT \xd9\xa1",
        b"BDAT 10 LA\xc5\xbfT", b"BDAT \xff", b"BDAT:10",
    ],
)  # fmt: skip
def test_a_chunk_whose_size_cannot_be_read(line: bytes) -> None:
    """BDT-5: the octets behind it cannot be skipped, and must not become commands: 501 and the end."""
    for grammar in (FULL, PLAIN):
        with pytest.raises(BadCommand) as caught:
            grammar.parse(line)
        assert caught.value.fatal
        assert (caught.value.reply.code, caught.value.reply.status) == (501, "5.5.4")


@pytest.mark.parametrize("line", [b"BDATA 10", b"BDA 10", b"BDAT1 10", b"BDAT10"])
def test_what_is_no_chunk(line: bytes) -> None:
    """CMD-21: another verb, unknown, is not the end."""
    with pytest.raises(BadCommand) as caught:
        FULL.parse(line)
    assert not caught.value.fatal and caught.value.reply.code == 500


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("MAIL FROM:<dörte@x.test> SMTPUTF8", None),
        ("MAIL FROM:<dörte@bücher.example> SIZE=1 SMTPUTF8 BODY=8BITMIME", None),
        ('MAIL FROM:<"dörte süß"@x.test> SMTPUTF8', None),
        ("MAIL FROM:<dörte@x.test>", "550 5.6.7"),
        ("MAIL FROM:<a@bücher.example>", "550 5.6.7"),
        ("RCPT TO:<dörte@x.test>", "553 5.6.7"),
        ("EHLO bücher.example", "501 5.5.4"),
        ("VRFY dörte", "550 5.6.7"),
        ("VRFY dörte SMTPUTF8", None),
        ("EXPN dörte smtputf8", None),
        ("VRFY SMTPUTF8", None),
        ("NOOP dörte", None),
        ("HELP dörte", None),
        ("AUTH PLAIN dörte", "500 5.5.2"),
        ("ETRN dörte.example", "500 5.5.2"),
        ("MAIL FROM:<a\u0085b@x.test> SMTPUTF8", "501 5.5.2"),
        ("MAIL FROM:<a\u2028b@x.test> SMTPUTF8", "501 5.5.2"),
    ],
)
def test_utf_8(line: str, reply: str | None) -> None:
    """EAI-1, EAI-3, EAI-4, EAI-6: UTF-8 where a mailbox stands, and only where SMTPUTF8 was said."""
    if reply is None:
        FULL.parse(line.encode())
    else:
        assert refusal(line.encode(), FULL) == reply


def test_utf_8_in_a_recipient() -> None:
    """EAI-3: in a transaction that was begun with SMTPUTF8."""
    found = FULL.parse("RCPT TO:<dörte@bücher.example>".encode(), utf8=True).value
    assert isinstance(found, Recipient)
    assert str(found.forward_path) == "dörte@bücher.example"
    assert refusal("RCPT TO:<dörte@x.test>".encode(), PLAIN) == "500 5.5.2"


@given(
    st.sampled_from(
        [
            "MAIL FROM:<{}@x.test> SMTPUTF8",
            "MAIL FROM:<a@{}> SMTPUTF8",
            "RCPT TO:<{}>",
            "RCPT TO:<a@x.test> {}",
        ]
    ),
    st.text(st.sampled_from('aé"\\@. >:,=;ü\u3042')),
    st.booleans(),
)
def test_no_refusal_is_in_utf_8(line: str, text: str, utf8: bool) -> None:
    """EAI-6: what is wrong is told in ASCII, whatever it is wrong with."""
    found = either(line.format(text).encode(), FULL, utf8=utf8)
    assert isinstance(found, Command) or found.encode().isascii()


@pytest.mark.parametrize("octets", [b"\xc3\x28", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xed\xa0\x80", b"\xff"])
def test_broken_utf_8(octets: bytes) -> None:
    """EAI-3, CMD-20."""
    for start in (b"MAIL FROM:<a%b@x.test> SMTPUTF8", b"RCPT TO:<a%b@x.test>", b"NOOP %b"):
        assert refusal(start.replace(b"%b", octets), FULL) == "500 5.5.2"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"STARTTLS", None),
        (b"STARTTLS now", "501 5.5.4"),
        (b"AUTH", "501 5.5.4"),
        (b"AUTH PLAIN", None),
        (b"AUTH PLAIN =", None),
        (b"ETRN", "501 5.5.4"),
        (b"ETRN @example.com", None),
        (b"XCLIENT", "501 5.5.4"),
        (b"LHLO c", None),
        (b"LHLO", "501 5.5.4"),
    ],
)
def test_the_commands_of_extensions(line: bytes, reply: str | None) -> None:
    """TLS-1, AUT-2, CMD-18."""
    if reply is None:
        word, _, argument = line.decode().partition(" ")
        found = FULL.parse(line)
        assert (found.verb, found.argument) == (word, argument)
    else:
        assert refusal(line, FULL) == reply


def test_a_grammar_for_each_offer_and_one_memory() -> None:
    """CLI-3, CMD-18: a parameter is taken where it was offered; for the same lines, the same grammar."""
    base = Grammar(["SIZE"])
    with_dsn = base.offering(("SIZE 10", "DSN"))
    assert with_dsn is base.offering(("SIZE 10", "DSN")) is with_dsn.offering(("SIZE 10", "DSN"))
    assert with_dsn.parse(b"MAIL FROM:<> RET=FULL").verb == "MAIL"
    assert refusal(b"MAIL FROM:<> RET=FULL", base) == "555 5.5.4"
    assert with_dsn.path("a@x.test") is base.path("a@x.test")
    for number in range(200):
        base.offering((f"SIZE {number}",))
    assert base.offering(("SIZE 10", "DSN")).rcpt == with_dsn.rcpt


def test_what_is_written() -> None:
    """CMD-14, CLI-3."""
    assert command.hello("EHLO", "client.example") == b"EHLO client.example\r\n"
    assert command.mail(None, ["SIZE=1"]) == b"MAIL FROM:<> SIZE=1\r\n"
    assert command.rcpt(parse("bob@x.test")) == b"RCPT TO:<bob@x.test>\r\n"
    assert command.plain("DATA") == b"DATA\r\n"
    assert command.chunk(0) == b"BDAT 0 LAST\r\n"
    assert command.auth("PLAIN", None) == b"AUTH PLAIN\r\n"
    assert command.auth("PLAIN", "") == b"AUTH PLAIN =\r\n"
    assert command.auth("PLAIN", "AGEAYg==") == b"AUTH PLAIN AGEAYg==\r\n"
    assert command.response("") == b"\r\n"


@pytest.mark.parametrize("evil", ["a\r\nRSET", "a\nb", "a\rb", "a\0b", "a\x85b", "a\u2028b"])
def test_no_line_can_be_ended_early(evil: str) -> None:
    """CLI-5: a CR or LF in an address or a name never reaches the wire."""
    address = Address(evil, "x.test")
    for write in (
        lambda: command.rcpt(address),
        lambda: command.mail(address),
        lambda: command.hello("EHLO", evil),
        lambda: command.mail(None, [evil]),
        lambda: command.rcpt(parse("b@x.test"), [f"ORCPT=rfc822;{evil}"]),
        lambda: command.auth("PLAIN", evil),
        lambda: command.response(evil),
    ):
        with pytest.raises(ValueError, match="cannot be sent"):
            write()


def test_the_memory_of_paths_has_a_limit() -> None:
    """A client that sends ever new addresses makes us hold no more of them."""
    grammar = Grammar([])
    first = grammar.path("first@x.test")
    assert grammar.path("first@x.test") is first
    for number in range(5000):
        grammar.path(f"user{number}@x.test")
    assert grammar.path("first@x.test") == first
    assert grammar.path("first@x.test") is not first
    with pytest.raises(AddressError):
        grammar.path("no address")


def test_a_line_that_comes_again_is_a_command_of_its_own() -> None:
    """What is kept of a line is no other transaction's envelope."""
    grammar = Grammar(["SIZE"])
    for line in (
        b"MAIL FROM:<bob@x.test>",
        b"MAIL FROM:<>",
        b"RCPT TO:<bob@x.test>",
        b'rcpt to:<"a b"@x.test>',
    ):
        first, second = grammar.parse(line), grammar.parse(line)
        assert (first.verb, first.argument, first.value) == (second.verb, second.argument, second.value)
        assert first.value is not second.value
    envelope = grammar.parse(b"MAIL FROM:<bob@x.test>").value
    assert isinstance(envelope, Envelope)
    envelope.recipients.append(Recipient(parse("amy@x.test")))
    again = grammar.parse(b"MAIL FROM:<bob@x.test>").value
    assert isinstance(again, Envelope)
    assert again.recipients == []


def test_parameters_are_read_anew_each_time() -> None:
    """CMD-18: a line with parameters means what is offered now, however often it came."""
    grammar = Grammar(["SIZE"])
    line = b"MAIL FROM:<bob@x.test> SIZE=12"
    for _ in range(3):
        value = grammar.parse(line).value
        assert isinstance(value, Envelope)
        assert value.size == 12
        with pytest.raises(BadCommand):
            grammar.offering(()).parse(line)
    assert grammar.parse(b"MAIL FROM:<bob@x.test>").value.size is None  # type: ignore[union-attr]


def test_a_path_outside_ascii_is_no_better_for_having_been_taken() -> None:
    """EAI-4: it is for a transaction with SMTPUTF8 alone."""
    grammar = Grammar(["SMTPUTF8"])
    line = "RCPT TO:<bücher@x.test>".encode()
    for _ in range(2):
        assert isinstance(either(line, grammar, utf8=True), Command)
        assert isinstance(either(line, grammar), Reply)


@given(
    st.binary(max_size=30), st.sampled_from([b"MAIL FROM:", b"RCPT TO:", b"rcpt to:<a@b", b"mail from:<>"])
)
def test_a_line_is_read_the_same_the_second_time(rest: bytes, front: bytes) -> None:
    grammar = Grammar(["SIZE", "8BITMIME", "SMTPUTF8"])
    first, second = either(front + rest, grammar), either(front + rest, grammar)
    if isinstance(first, Reply):
        assert first == second
    else:
        assert isinstance(second, Command)
        assert (first.verb, first.argument, first.value) == (second.verb, second.argument, second.value)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lines, and whatever is in them."""
    monkeypatch.setattr(command, "_CACHE_LIMIT", 3)
    grammar = Grammar([])
    for number in range(8):
        grammar.parse(b"RCPT TO:<a%d@x.test>" % number)
        grammar.parse(b"RCPT TO:<b@x.test>" + b"\t" * (300 + number))
    assert 0 < len(grammar._lines) <= 3
    assert not any(b"\t" in line for line in grammar._lines)
