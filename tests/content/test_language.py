"""Tags of languages."""

from __future__ import annotations

import pytest

from mether.content.language import broader, is_language


@pytest.mark.parametrize("tag", ["en", "pt-BR", "zh-Hant-TW", "tlh", "de-1996", "es-419"])
def test_a_tag(tag: str) -> None:
    """RFC 5646"""
    assert is_language(tag)


@pytest.mark.parametrize(
    "tag", ["", "e", "12", "en_US", "en-", "-en", "é", "toolongtag", "en " * 3, "en-" + "a" * 9]
)
def test_none(tag: str) -> None:
    assert not is_language(tag)


def test_a_tag_has_a_limit() -> None:
    """LIM"""
    assert not is_language("-".join(["ab"] * 20))


def test_what_is_broader() -> None:
    """RFC 4647 section 3.4"""
    assert broader("zh-Hant-TW") == ["zh-hant-tw", "zh-hant", "zh"]
    assert broader("en") == ["en"]
