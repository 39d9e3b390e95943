"""How a file of rules reads."""

from __future__ import annotations

import pytest

from mether.content.classify import RulesError, parse
from mether.content.classify_rules import MAX_RULES, built_in


def found(text: str, folded: str, *, code: int = 550, detail: str = "", stage: str = "") -> str | None:
    rule = parse(text).find(str(code // 100), code, detail, stage, f" {folded} ")
    return None if rule is None else f"{rule.kind} {rule.detail}"


def test_sections_remarks_and_rules() -> None:
    text = "# mine\n\n[policy x.7.1]\n  no * way  \n[size x.3.4]\nway\n"
    assert found(text, "no such way") == "policy 7.1"
    assert found(text, "way no") == "size 3.4"
    assert found(text, "street") is None


def test_conditions_before_a_colon() -> None:
    assert found("[other x.0.0]\n5:", "") == "other 0.0"
    assert found("[other x.0.0]\n4:", "") is None
    assert found("[other x.0.0]\n551 550 rcpt:", "", stage="RCPT") == "other 0.0"
    assert found("[other x.0.0]\n551 550 rcpt:", "", stage="MAIL") is None
    assert found("[other x.0.0]\nx.1.1 5.1.2:", "", detail="1.1") == "other 0.0"
    assert found("[other x.0.0]\n4.1.2:", "", detail="1.2") is None


def test_a_colon_in_words_is_no_condition() -> None:
    assert found("[other x.0.0]\nrejected: because", "rejected: because") == "other 0.0"
    assert found("[other x.0.0]\n[spf]: no", "[spf]: no") == "other 0.0"


def test_words_in_quotation_marks_keep_their_spaces() -> None:
    assert found('[other x.0.0]\n" rbl"', "marbl") is None
    assert found('[other x.0.0]\n" rbl"', "an rblx") == "other 0.0"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("over quota", "line 1: expected a section such as [policy x.7.1] before the first rule"),
        ("\n[full x.2.2]", "line 2: no class 'full'; expected one of: no such user, mailbox full"),
        ("[policy 5]", "line 1: expected a status such as x.7.1 after the class, not '5'"),
        ("[policy 5.7.1]", "line 1: expected a status such as x.7.1"),
        ("[policy x.7.1]\nfoo:", "line 2: 'foo' is no code, status or command"),
        ("[policy x.7.1]\n*", "line 2: a rule needs words, or a code, status or command before a colon"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, what: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse(text)
    assert str(caught.value).startswith(what)


def test_a_file_has_a_limit() -> None:
    """LIM"""
    with pytest.raises(RulesError, match="more than 5000 rules"):
        parse("[other x.0.0]\n" + "a\n" * (MAX_RULES + 1))


def test_the_index_finds_what_a_walk_through_all_rules_would() -> None:
    """Each built-in rule, of itself or by one before it, whatever letters it stands under."""
    rules = built_in()
    for number, rule in enumerate(rules._rules):
        folded = f" {' '.join(rule.words)} "
        digit = min(rule.digits, default="5")
        stage = min(rule.stages, default="")
        detail = min(rule.details, default="")
        code = min(rule.codes, default=int(digit) * 100)
        found = rules.find(digit, code, detail, stage, folded)
        assert found is not None
        assert rules._rules.index(found) <= number


def test_the_built_in_rules_are_read_once() -> None:
    assert built_in() is built_in()
    assert len(built_in()) > 300
