"""What sessions say: replies whose codes and enhanced codes fit each other, in lines that may be sent."""

from __future__ import annotations

import pytest

from mether.receive import words
from mether.reply import Reply
from mether.smtp.command import VERBS

REPLIES = {name: value for name, value in vars(words).items() if isinstance(value, Reply)}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_every_reply_is_well_formed(reply: Reply) -> None:
    """RPL-1, RPL-2: ASCII lines of at most 512 octets; an enhanced code of the class, but with 354."""
    data = reply.encode()
    assert data.isascii()
    assert max(map(len, data.splitlines(keepends=True))) <= 512
    if 300 <= reply.code < 400:
        assert reply.status is None
    else:
        assert reply.status is not None
        assert reply.status[0] == str(reply.code)[0]


@pytest.mark.parametrize("verb", sorted(VERBS - {"XCLIENT"}))
def test_each_command_has_its_help(verb: str) -> None:
    """CMD-1: also in small letters, before any EHLO."""
    reply = words.help_about(verb.lower(), False)
    assert reply.code == 214
    assert reply.lines[0].startswith(verb)


def test_help_about_nothing_known() -> None:
    """RPL: 504 for a topic that there is none about."""
    reply = words.help_about("me, please", False)
    assert reply.code == 504
    assert "MAIL" in str(reply)


@pytest.mark.parametrize(("lmtp", "there", "missing"), [(False, "EHLO", "LHLO"), (True, "LHLO", "EHLO")])
def test_help_is_about_this_protocol(lmtp: bool, there: str, missing: str) -> None:
    """LMT-1: nobody is told to say what gets a 500."""
    verbs = [line.split()[0] for line in words.help_about("", lmtp).lines]
    assert there in verbs
    assert missing not in verbs
