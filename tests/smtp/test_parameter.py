"""The parameters of MAIL and RCPT: what they may say, and the reply that a bad value gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import xtext
from mether.envelope import By, Envelope, Recipient
from mether.reply import Reply
from mether.smtp import parameter
from mether.smtp.command import BadCommand, Command, Grammar
from mether.smtp.extension import KNOWN

GRAMMAR = Grammar(list(KNOWN))
NONE = Grammar([])


def mail(parameters: str, grammar: Grammar = GRAMMAR) -> Envelope:
    value = grammar.parse(f"MAIL FROM:<> {parameters}".encode()).value
    assert isinstance(value, Envelope)
    return value


def rcpt(parameters: str, *, utf8: bool = False) -> Recipient:
    value = GRAMMAR.parse(f"RCPT TO:<b@x.test> {parameters}".encode(), utf8=utf8).value
    assert isinstance(value, Recipient)
    return value


def refusal(line: str, grammar: Grammar = GRAMMAR) -> str:
    with pytest.raises(BadCommand) as caught:
        grammar.parse(line.encode())
    assert not caught.value.fatal
    return f"{caught.value.reply.code} {caught.value.reply.status}"


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ("SIZE=0", "size", 0),
        ("size=00000000000000000001", "size", 1),
        ("BODY=binarymime", "body", "BINARYMIME"),
        ("SMTPUTF8", "smtputf8", True),
        ("smtputf8", "smtputf8", True),
        ("REQUIRETLS", "requiretls", True),
        ("RET=full", "ret", "FULL"),
        ("RET=HDRS", "ret", "HDRS"),
        ("ENVID=QQ+2B314159", "envid", "QQ+2B314159"),
        ("ENVID=" + "e" * 100, "envid", "e" * 100),
        ("AUTH=<>", "auth", "<>"),
        ("AUTH=e+3Dmc2@example.com", "auth", "e=mc2@example.com"),
        ("AUTH=d+C3+B6rte@example.com", "auth", "dörte@example.com"),
        ("HOLDFOR=1", "hold", "for;1"),
        ("HOLDFOR=999999999", "hold", "for;999999999"),
        ("HOLDUNTIL=2026-12-24T18:00:00Z", "hold", "until;2026-12-24T18:00:00Z"),
        ("holduntil=2026-12-24t18:00:00z", "hold", "until;2026-12-24T18:00:00Z"),
        ("MT-PRIORITY=3", "priority", 3),
        ("MT-PRIORITY=-9", "priority", -9),
        ("MT-PRIORITY=0", "priority", 0),
    ],
)
def test_mail(said: str, name: str, value: object) -> None:
    """SIZ-1, 8BM-1, EAI-1, DSN-1, DSN-2, AUT-7, EXT-2, EXT-3: and the envelope is otherwise empty."""
    envelope = mail(said)
    assert getattr(envelope, name) == value
    expected = Envelope(None)
    setattr(expected, name, value)
    assert envelope == expected


@pytest.mark.parametrize(
    ("said", "seconds", "mode", "trace"),
    [
        ("BY=120;R", 120, "R", False),
        ("by=+120;rt", 120, "R", True),
        ("BY=-60;N", -60, "N", False),
        ("BY=0;NT", 0, "N", True),
        ("BY=999999999;n", 999_999_999, "N", False),
    ],
)
def test_deliver_by(said: str, seconds: int, mode: str, trace: bool) -> None:
    """EXT-1: RFC 2852 section 4."""
    by = mail(said).by
    assert isinstance(by, By)
    assert (by.seconds, by.mode, by.trace) == (seconds, mode, trace)


@pytest.mark.parametrize("keyword", list(KNOWN))
def test_only_where_its_extension_is_offered(keyword: str) -> None:
    """CMD-18, CLI-3: 555 for a parameter of what is not offered."""
    values = {"BODY": "7BIT", "RET": "FULL", "BY": "1;R", "AUTH": "<>", "HOLDFOR": "1", "MT-PRIORITY": "1"}
    values |= {"HOLDUNTIL": "2030-01-01T00:00:00Z", "SIZE": "1", "ENVID": "x", "NOTIFY": "NEVER"}
    values |= {"ORCPT": "rfc822;b@x.test"}
    for verb, names in (("MAIL FROM:<>", KNOWN[keyword].mail), ("RCPT TO:<b@x.test>", KNOWN[keyword].rcpt)):
        for name in names:
            line = f"{verb} {name}={values[name]}" if name in values else f"{verb} {name}"
            Grammar([keyword]).parse(line.encode())
            others = [other for other in KNOWN if name not in KNOWN[other].mail + KNOWN[other].rcpt]
            assert refusal(line, Grammar(others)) == "555 5.5.4"


@pytest.mark.parametrize(
    "said",
    [
        "SIZE", "SIZE=", "SIZE=-1", "SIZE=+1", "SIZE=1k", "SIZE=" + "1" * 21, "SIZE=1 SIZE=1",
        "BODY", "BODY=8BIT", "BODY=7BIT BODY=7BIT",
        "SMTPUTF8=", "SMTPUTF8=1", "SMTPUTF8 SMTPUTF8",
        "REQUIRETLS=1", "REQUIRETLS REQUIRETLS",
        "RET", "RET=ALL", "RET=FULL RET=HDRS",
        "ENVID", "ENVID=a+", "ENVID=a+2b", "ENVID=a+ZZ", "ENVID=" + "e" * 101, "ENVID=a=b",
        "AUTH", "AUTH=a", "AUTH=a@", "AUTH=a+0D+0A@x.test", "AUTH=<a@x.test>", "AUTH=a@x.test AUTH=<>",
        "BY", "BY=120", "BY=120;", "BY=;R", "BY=120;X", "BY=120;TR", "BY=1.5;R", "BY=+-1;N", "BY=120;R;T",
        "BY=0;R", "BY=-1;R", "BY=0;RT", "BY=1234567890;N", "BY=1;R BY=1;R",
        "HOLDFOR", "HOLDFOR=0", "HOLDFOR=-1", "HOLDFOR=01", "HOLDFOR=1000000000", "HOLDFOR=1.5",
        "HOLDUNTIL", "HOLDUNTIL=tomorrow", "HOLDUNTIL=2026-02-29T00:00:00Z", "HOLDUNTIL=2026-12-24",
        "HOLDFOR=1 HOLDFOR=1", "HOLDFOR=1 HOLDUNTIL=2026-12-24T18:00:00Z",
        "HOLDUNTIL=2026-12-24T18:00:00Z HOLDFOR=1",
    ],
)  # fmt: skip
def test_bad_values_of_mail(said: str) -> None:
    """CMD-18, DSN-1, EXT-1, EXT-2: 501 5.5.4, and the session goes on."""
    assert refusal(f"MAIL FROM:<> {said}") == "501 5.5.4"


@pytest.mark.parametrize("value", ["10", "-10", "+1", "-0", "1.0", "x", "--1", "\u0663"])
def test_bad_priorities(value: str) -> None:
    """EXT-3: RFC 6710 section 3 has a code of its own."""
    expected = "501 5.5.2" if value.isascii() else "501 5.5.4"
    assert refusal(f"MAIL FROM:<> MT-PRIORITY={value}") == expected


def test_binary_only_where_it_is_offered() -> None:
    """8BM-4."""
    eight = Grammar(["8BITMIME", "CHUNKING"])
    assert mail("BODY=8BITMIME", eight).body == "8BITMIME"
    assert refusal("MAIL FROM:<> BODY=BINARYMIME", eight) == "501 5.5.4"


@pytest.mark.parametrize(
    "value", ["NEVER", "never", "SUCCESS", "failure,DELAY", "Success,Failure,Delay", "DELAY"]
)
def test_notify(value: str) -> None:
    """DSN-1, DSN-3: any case, kept as it was written."""
    assert rcpt(f"NOTIFY={value}").notify == value


@pytest.mark.parametrize(
    "value", ["rfc822;Bob@X.test", "RFC822;a+2Bb@x.test", "x400;any+20thing", "utf-8;d\\x{F6}rte@x.test"]
)
def test_orcpt(value: str) -> None:
    """DSN-1, DSN-3, EAI-7: exactly as it came."""
    assert rcpt(f"ORCPT={value}").orcpt == value


def test_orcpt_in_utf_8() -> None:
    """EAI-7: only in a transaction that was begun with SMTPUTF8."""
    assert rcpt("ORCPT=utf-8;dörte@x.test", utf8=True).orcpt == "utf-8;dörte@x.test"
    assert refusal("RCPT TO:<b@x.test> ORCPT=utf-8;dörte@x.test") == "553 5.6.7"


@pytest.mark.parametrize(
    "said",
    [
        "NOTIFY", "NOTIFY=", "NOTIFY=ALWAYS", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,NEVER", "NOTIFY=DELAY,",
        "NOTIFY=,DELAY", "NOTIFY=DELAY,delay", "NOTIFY=NEVER,NEVER", "NOTIFY=NEVER NOTIFY=NEVER",
        "ORCPT", "ORCPT=bob", "ORCPT=rfc822;", "ORCPT=;bob@x.test", "ORCPT=rfc822;a+b@x.test",
        "ORCPT=rfc822;a=b@x.test", "ORCPT=rfc_822;b@x.test",
        "ORCPT=rfc822;" + "b" * 494, "ORCPT=rfc822;b ORCPT=rfc822;b",
    ],
)  # fmt: skip
def test_bad_values_of_rcpt(said: str) -> None:
    """DSN-1, DSN-2."""
    assert refusal(f"RCPT TO:<b@x.test> {said}") == "501 5.5.4"


def test_the_longest_orcpt() -> None:
    """DSN-2: 500 characters."""
    assert rcpt("ORCPT=rfc822;" + "b" * 493).orcpt == "rfc822;" + "b" * 493


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<> \u017fIZE=1",
        "MAIL FROM:<> BODY=7B\u0131T",
        "MAIL FROM:<> RET=HDR\u017f",
        "MAIL FROM:<> SIZE=\u0661",
        "MAIL FROM:<> BY=\u0661;R",
        "MAIL FROM:<> HOLDFOR=\u0661",
        "MAIL FROM:<> HOLDUNTIL=\u0662026-12-24T18:00:00Z",
        "RCPT TO:<b@x.test> NOTIFY=\u017fUCCESS",
        "RCPT TO:<b@x.test> ORCPT=rfc\u0668;b",
    ],
)
def test_letters_that_only_look_like_ascii(line: str) -> None:
    """EAI-3, RPL-1: outside addresses the syntax is ASCII; upper() makes S of a long s, and I of a dotless i.

    Taken as it came, such a value would go out again to the next hop.
    """
    with pytest.raises(BadCommand) as caught:
        GRAMMAR.parse(line.encode(), utf8=True)
    assert caught.value.reply.code in (501, 555)


def test_a_verb_is_ascii_too() -> None:
    for line in ("R\u017fET", "EH\u0131LO x", "\u017fTARTTLS", "MA\u0131L FROM:<>"):
        assert refusal(line) == "500 5.5.2"


@given(st.text(max_size=30))
def test_any_text_fits_an_envid_in_xtext(text: str) -> None:
    """DSN-2: what is written in xtext is taken, and reads the same."""
    written = xtext.encode(text)
    if 0 < len(written) <= parameter.MAX_ENVID:
        assert xtext.decode(mail(f"ENVID={written}").envid or "") == text


@given(
    st.sampled_from(sorted(parameter.MAIL) + sorted(parameter.RCPT)),
    st.text(st.characters(codec="utf-8", exclude_characters=" \t\r\n"), max_size=20),
    st.booleans(),
)
def test_any_value_is_taken_or_refused(name: str, value: str, utf8: bool) -> None:
    """CMD-18: nothing breaks it, and what is taken of DSN can be written again."""
    start = "MAIL FROM:<>" if name in parameter.MAIL else "RCPT TO:<b@x.test>"
    found: Command | Reply
    try:
        found = GRAMMAR.parse(f"{start} {name}={value}".encode(), utf8=utf8)
    except BadCommand as error:
        found = error.reply
    if isinstance(found, Reply):
        assert found.code in (500, 501, 553, 555)
    elif isinstance(found.value, Recipient):
        assert (found.value.notify or "").isascii()
