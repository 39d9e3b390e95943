"""The header of what a local program submits: recipients read, what is missing added, the rest untouched."""

import email.policy
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.content import header
from mether.programs import submission
from mether.programs.message import Scratch


def recipients(text):
    return submission.recipients(text.replace("\n", "\r\n").encode())


def complete(section, **more):
    given = {
        "sender": parse("s@example.org"),
        "full_name": "",
        "user": ("joe", ""),
        "hostname": "h.example",
        "ident": "ID",
        "at": 0.0,
        "offset": 3600,
        "drop_bcc": False,
        **more,
    }
    return submission.complete(section, **given)


def test_recipients_in_every_form():
    assert recipients(
        'To: a@x.test, "B, b" <b@x.test> (c, d),\n c@x.test\nfrom: no@x.test\nCC: g: d@x.test, e@x.test;\n'
        "bcc : f@x.test\nX-To: no@x.test\nReply-To: no@x.test\nTo: g@x.test\n"
    ) == [f"{letter}@x.test" for letter in "abcdefg"]
    assert recipients("To: undisclosed-recipients:;\n") == []
    assert recipients("To: =?utf-8?q?J=C3=BCrgen?= <j@x.test>\n") == ["j@x.test"]
    assert recipients("To: Jürgen <jü@x.test>\n") == ["jü@x.test"]


def test_comments_without_end_are_an_error():
    with pytest.raises(ValueError, match="cannot be read as addresses"):
        recipients("To: " + "(" * 50_000 + "\n\n")


def test_what_is_missing_comes_first():
    assert complete(b"Subject: x\r\n") == (
        b"Date: Thu, 01 Jan 1970 01:00:00 +0100\r\nFrom: <s@example.org>\r\nMessage-ID: <ID@h.example>\r\n"
        b"Subject: x\r\n"
    )


def test_nothing_is_added_to_a_full_header():
    full = b"DATE: x\r\nFROM: x@y\r\nmessage-id: <x@y>\r\n"
    assert complete(full) == full


def test_a_null_sender_is_from_whoever_calls():
    assert b"From: <joe@h.example>\r\n" in complete(b"", sender=None)
    assert b'From: "Joe D" <joe@h.example>\r\n' in complete(b"", sender=None, user=("joe", "Joe D"))


@given(st.text(max_size=40))
def test_any_full_name_is_one_field(name):
    section = complete(b"Subject: x\r\n", full_name=name)
    assert [field for field, _ in header.fields(section)] == [b"Date", b"From", b"Message-ID", b"Subject"]
    parsed = BytesParser(policy=email.policy.default).parsebytes(section)
    assert parsed["From"].addresses[0].addr_spec == "s@example.org"
    assert section.isascii()


def test_bcc_goes_folded_lines_and_all():
    section = b"Bcc: a@x.test,\r\n b@x.test\r\nbCC : c@x.test\r\nTo: d@x.test\r\nX-Bcc: kept\r\n"
    left = complete(section, drop_bcc=True)
    assert (
        left.endswith(b"To: d@x.test\r\nX-Bcc: kept\r\n")
        and b"a@x.test" not in left
        and b"b@x.test" not in left
    )
    assert complete(section).endswith(section)


def replaced(content, fixed=b"F: x\r\n", spill=None):
    section = content[: header.split(content)]
    return submission.replace_header(content, len(section), fixed, spill)


def test_the_header_is_replaced_and_the_body_kept():
    assert replaced(b"A: b\r\n\r\nbody\r\n") == b"F: x\r\n\r\nbody\r\n"
    assert replaced(b"A: b\r\n") == b"F: x\r\n\r\n"
    assert replaced(b"\r\nbody\r\n") == b"F: x\r\n\r\nbody\r\n"
    assert replaced(b"just text\r\n") == b"F: x\r\n\r\njust text\r\n"
    assert replaced(b"just text\r\n\r\nmore\r\n") == b"F: x\r\n\r\njust text\r\n\r\nmore\r\n"
    assert replaced(b"") == b"F: x\r\n\r\n"


def test_a_large_message_goes_to_a_file():
    body = b"y" * 100_000 + b"\r\n"
    scratch = Scratch()
    scratch.write(b"A: b\r\n\r\n" + body)
    written = Scratch()
    assert submission.replace_header(scratch, 6, b"F: x\r\n", lambda: written) is written
    assert written.content().read() == b"F: x\r\n\r\n" + body
    scratch.discard()
    written.discard()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ok@a.example,", ["ok@a.example"]),
        ("ok@a.example (c, d), b@a.example", ["ok@a.example", "b@a.example"]),
        ("root, ok@a.example", ["root", "ok@a.example"]),
        ("undisclosed-recipients:;", []),
    ],
)
def test_what_people_write_in_to(text, expected):
    assert recipients(f"To: {text}\n") == expected


@pytest.mark.parametrize(
    "text",
    ["a@b.example; c@d.example", "<a@b.example> c@d.example", "a@b.example, y@", "a@b.example, foo bar"],
)
def test_no_recipient_is_left_out_in_silence(text):
    """What cannot be read is named; to send to the others alone would lose one."""
    with pytest.raises(ValueError, match="To"):
        recipients(f"To: {text}\n")


def test_names_without_a_domain_get_ours():
    section = b'From: root (Cron Daemon)\r\nTo: "a b", ann@x.test, friends: bob;\r\nX-To: eve\r\n'
    assert submission.qualified(section, "h.example") == (
        b'From: root@h.example (Cron Daemon)\r\nTo: "a b"@h.example, ann@x.test, friends: bob@h.example;\r\n'
        b"X-To: eve\r\n"
    )
    assert b"To: root@o.example\r\n" in complete(b"To: root\r\n", origin="o.example", sender=None)
    assert b"From: <joe@o.example>\r\n" in complete(b"To: root\r\n", origin="o.example", sender=None)
