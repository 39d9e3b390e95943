"""``[reports]``: languages, and an administrator's own texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.content.words_texts import LANGUAGES
from mether.setup import check, reports
from mether.setup.config import Config, load, loads
from mether.setup.locate import ConfigError

ENV = {"HOME": "/h"}
OWN = "[language de]\n[header]\nNur der Kopf.\n[language tlh]\n[name]\ntlhIngan\n[opening]\nnuqneH.\n"


def configured(tmp_path: Path, texts: bytes | None, more: str = "") -> Config:
    if texts is not None:
        (tmp_path / "texts.txt").write_bytes(texts)
    (tmp_path / "mether.toml").write_text(f'[reports]\n{more}\ntexts = "texts.txt"\n')
    return load(str(tmp_path / "mether.toml"))


def test_english_is_built_in() -> None:
    config = load(None)
    assert config.reports.languages == ("en",)
    assert reports.texts(config).find("en", "header") == "The header of the message is attached."
    assert list(reports.troubles(config)) == []


def test_each_language_that_comes_with_mether_can_be_had() -> None:
    listed = ", ".join(f'"{one}"' for one in LANGUAGES)
    config = loads(f"[reports]\nlanguages = [{listed}]\n", environ=ENV)
    assert reports.texts(config).languages == LANGUAGES


def test_a_region_falls_back_to_its_language() -> None:
    texts = reports.texts(loads('[reports]\nlanguages = ["pt-BR"]\n', environ=ENV))
    assert texts.languages == ("pt-br",)
    assert texts.find("pt-br", "name") == "Português"


def test_own_texts_come_first_and_may_add_a_language(tmp_path: Path) -> None:
    config = configured(tmp_path, OWN.encode(), 'languages = ["de", "tlh"]')
    assert config.reports.texts == str(tmp_path / "texts.txt")
    texts = reports.texts(config)
    assert texts.find("de", "header") == "Nur der Kopf."
    assert texts.find("de", "name") == "Deutsch"
    assert texts.find("tlh", "opening") == "nuqneH."
    assert texts.find("tlh", "full") == "The message is attached in full."
    assert list(reports.troubles(config)) == []


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ('languages = ["english"]', 'reports.languages: no texts in "english"; expected one of en, de, fr'),
        (
            'languages = ["de_DE"]',
            'm.toml:2: reports.languages: expected a language tag, such as "en" or "pt-br"',
        ),
        ('languages = ["en", "EN"]', 'm.toml:2: reports.languages: "en" is there twice'),
        ("languages = []", "m.toml:2: reports.languages: is an empty list"),
        (
            'languages = ["de", "fr", "es", "nl", "it", "pt", "pl", "en", "sv"]',
            "m.toml:2: reports.languages: expected at most 8 languages",
        ),
        ("texts = 1", "m.toml:2: reports.texts: expected"),
        ('language = "en"', "m.toml:2: reports.language: "),
    ],
)
def test_what_cannot_be_is_told(given: str, what: str) -> None:
    """LIM"""
    with pytest.raises(ConfigError) as caught:
        reports.texts(loads(f"[reports]\n{given}\n", "m.toml", environ=ENV))
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "where"),
    [
        (
            b"[language en]\n[ful]\nx\n",
            "texts.txt:2: there is no text of the name 'ful' (did you mean [full]?)",
        ),
        (
            b"[language en]\n[full]\n{sender}\n",
            "texts.txt:3: there is no {sender} in [full]; expected one of {mta}",
        ),
        (b"[language en]\n\n\xff\n", "texts.txt:3: expected UTF-8"),
        (b"#" * (reports.MAX_FILE + 1), "texts.txt: expected texts in at most 1048576 octets"),
        (None, "mether.toml:3: reports.texts: "),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_place(
    tmp_path: Path, texts: bytes | None, where: str
) -> None:
    """LIM"""
    config = configured(tmp_path, texts)
    with pytest.raises(ConfigError) as caught:
        reports.texts(config)
    assert str(caught.value).startswith(f"{tmp_path}/{where}")
    assert list(reports.troubles(config)) == [str(caught.value)]
    fatal = [one.what for one in check.findings(config, 0.0, receives=False) if one.fatal]
    assert str(caught.value) in fatal


def test_a_fault_in_the_words_keeps_nobodys_mail(tmp_path: Path) -> None:
    """A program that has a report to write now says what is wrong, and takes the built-in texts."""
    told: list[str] = []
    broken = configured(tmp_path, b"[language en]\n[ful]\nx\n")
    assert reports.at_once(broken, told.append) == (None, None)
    assert told == [f"{tmp_path}/texts.txt:2: there is no text of the name 'ful' (did you mean [full]?)"]
    texts, rules = reports.at_once(loads('[reports]\nlanguages = ["it"]\n', environ=ENV), told.append)
    assert texts is not None and texts.languages == ("it",)
    assert rules is None and len(told) == 1
