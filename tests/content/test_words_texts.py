"""Files of texts: ours are whole in every language, and what is wrong in an administrator's own is told."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import words_texts
from mether.content.words_texts import KEYS, LANGUAGES, Texts, TextsError, built_in, parse

FILES = Path(words_texts.__file__).parent / "texts"


def names(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


def test_each_language_has_a_file_and_no_other() -> None:
    assert {file.stem for file in FILES.iterdir()} == set(LANGUAGES)
    for language in LANGUAGES:
        assert list(parse((FILES / f"{language}.txt").read_text("utf-8"))) == [language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text_with_its_placeholders(language: str) -> None:
    texts = built_in(language)
    assert set(texts) == set(KEYS)
    assert {key: names(text) for key, text in texts.items()} == {
        key: names(text) for key, text in built_in("en").items()
    }


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_a_language_is_its_own(language: str) -> None:
    texts = built_in(language)
    assert [key for key, text in texts.items() if text == built_in("en")[key]] == []
    long = [key for key in KEYS if key not in words_texts.LINES]
    assert [key for key in long if len(texts[key]) < len(built_in("en")[key]) // 2] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_kind_has_a_text_of_its_own(language: str) -> None:
    texts = [text for key, text in built_in(language).items() if not key.endswith(": advice")]
    assert len(set(texts)) == len(texts)


def test_own_texts_come_first_then_ours_then_the_broader_language_then_english() -> None:
    own = parse("[language de-at]\n[full]\nServus.\n[language xx]\n[name]\nX\n[full]\n{{alles}}\n\nHier.\n")
    texts = Texts(("de-AT", "xx"), own)
    assert texts.find("de-AT", "full") == "Servus."
    assert texts.find("de-AT", "header") == Texts().find("de", "header")
    assert texts.find("xx", "header") == built_in("en")["header"]
    assert texts.find("xx", "full") == "{{alles}}\nHier."
    assert texts.knows("de-AT") and texts.knows("xx-latn") and not texts.knows("yy")


def test_how_a_file_reads() -> None:
    text = "# a remark\n\n[language  EN]\n[ no such user ]\n\n one\n\ttwo \n# three\n\n\nfour\n"
    assert parse("\ufeff" + text.replace("\n", "\r\n")) == parse(text)
    assert parse(text) == {"en": {"no such user": "one two\nfour"}}
    assert parse("[language en]\n[other: advice]\n") == {"en": {"other: advice": ""}}
    assert parse("") == {}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\nhello\n", 2, "expected [language TAG] and then a [key] before the first text"),
        ("[full]\nx\n", 1, "expected [language TAG] before the first key"),
        ("[language no such]\n", 1, '\'no such\' is no language tag, such as "en" or "pt-br"'),
        ("[language en]\nhello\n", 2, "expected [language TAG] and then a [key] before the first text"),
        (
            "[language en]\n[no such usr]\nx\n",
            2,
            "there is no text of the name 'no such usr' (did you mean [no such user]?)",
        ),
        ("[language en]\n[full]\nx\n[full]\ny\n", 4, "[full] is there twice in this language"),
        ("[language en]\n[full]\n\n[header]\nx\n", 2, "[full] has no text; only an advice may be empty"),
        ("[language en]\n[said]\na\n\nb\n", 2, "[said] is one line, and has no paragraphs"),
        ("[language en]\n[full]\nx\x1b[2J\n", 3, "a control character (U+001B) may not stand in a text"),
        ("[language en]\n[full]\nx\u2028y\n", 3, "a control character (U+2028) may not stand in a text"),
        ("[language en]\n[full]\nx\ry\n", 3, "a control character (U+000D) may not stand in a text"),
        (
            "[language en]\n[full]\nx\n{sender}\n",
            4,
            "there is no {sender} in [full]; expected one of {mta}, {id}, {arrival}, {postmaster}",
        ),
        (
            "[language en]\n[waits]\n{tries}\n",
            3,
            "there is no {tries} in [waits]; expected one of {mta}, {id}, {arrival}, {postmaster}, {until}",
        ),
        (
            "[language en]\n[full]\n{mta.__class__}\n",
            3,
            "there is no {mta.__class__} in [full]; expected one of",
        ),
        ("[language en]\n[full]\n{id!r:9}\n", 3, "there is no {id!r:9} in [full]; expected one of"),
        (
            "[language en]\n[merged]\n{count} for {id}\n",
            3,
            "there is no {id} in [merged]; expected one of {mta}, {postmaster}, {count}",
        ),
        ("[language en]\n[subject: merged]\n{arrival}\n", 3, "there is no {arrival} in [subject: merged]"),
        ("[language en]\n[full]\nx {id\n}\n", 3, "a { without its }; a brace itself is written {{"),
        ("[language en]\n[full]\n{i{{d}\n", 3, "a { without its }; a brace itself is written {{"),
        ("[language en]\n[full]\n{{id}\n", 3, "a } without its {; a brace itself is written }}"),
        ("[language en]\n[full]\nx } y\n", 3, "a } without its {; a brace itself is written }}"),
        ("[language en]\n[full]\n" + "word " * 1000, 2, "[full] is longer than 4000 characters"),
        (
            "[language en]\n[subject: done]\n" + "word " * 50,
            2,
            "[subject: done] is longer than 200 characters",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, what: str) -> None:
    """LIM"""
    with pytest.raises(TextsError) as caught:
        parse(text)
    assert caught.value.line == line
    assert caught.value.what.startswith(what)


@given(
    st.text(max_size=300) | st.lists(st.sampled_from([*"{}[]#\n m", "{{", "}}", "id", "{mta}"])).map("".join)
)
def test_a_text_that_is_taken_can_be_filled_in(text: str) -> None:
    values = dict.fromkeys((*words_texts.EVERYWHERE, "tries", "last", "until", "server"), "x")
    try:
        found = parse(f"[language en]\n[tries]\n{text}")
    except TextsError:
        return
    for one in found["en"].values():
        one.format_map(values)
