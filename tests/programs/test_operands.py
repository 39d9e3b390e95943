"""targethost sender recipient...: the argument vector is the envelope."""

import pytest

from mether.programs.operands import check_helo, envelope_of
from mether.programs.options import UsageError


def test_the_envelope():
    target, envelope = envelope_of(["lmtp:mailhub:2424", "a@b.test", "c@d.test", "<e@f.test>"])
    assert str(target) == "lmtp:mailhub:2424"
    assert str(envelope.reverse_path) == "a@b.test"
    assert [str(one.forward_path) for one in envelope.recipients] == ["c@d.test", "e@f.test"]
    assert not envelope.smtputf8


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_reverse_path(sender):
    assert envelope_of(["mailhub", sender, "c@d.test"])[1].reverse_path is None


def test_an_internationalized_address_asks_for_smtputf8():
    assert envelope_of(["mailhub", "ü@b.test", "c@d.test"])[1].smtputf8
    assert envelope_of(["mailhub", "", "c@d.test", "ü@b.test"])[1].smtputf8


@pytest.mark.parametrize(
    ("operands", "what"),
    [
        ([], "TARGETHOST is missing"),
        (["mailhub"], "SENDER is missing"),
        (["mailhub", ""], "RECIPIENT is missing"),
        (["mail hub", "", "c@d.test"], "mail hub"),
        (["mailhub", "c", "c@d.test"], "sender 'c': "),
        (["mailhub", "", "c"], "recipient 'c': "),
        (["mailhub", "", ""], "recipient '': "),
        (["mailhub", "", "a@b.test", "<>"], "recipient '<>': "),
    ],
)
def test_what_is_wrong_is_named(operands, what):
    with pytest.raises(UsageError) as error:
        envelope_of(operands)
    assert what in str(error.value)


def test_what_is_no_recipient_is_left_out_for_whoever_asks():
    wrong = []
    _, envelope = envelope_of(["mailhub", "", "c", "c@d.test", ""], wrong)
    assert [str(one.forward_path) for one in envelope.recipients] == ["c@d.test"]
    assert [(place, text) for place, text, _ in wrong] == [(0, "c"), (2, "")]
    assert all(what for _, _, what in wrong)
    with pytest.raises(UsageError):
        envelope_of(["mailhub", "c", "c@d.test"], wrong)


def test_a_name_to_say():
    for name in ("host.example", "[192.0.2.1]", "host"):
        check_helo(name)
    for name in ("", "a b", "a\nb", "ü.example", "a\0"):
        with pytest.raises(UsageError):
            check_helo(name)
