"""Every complaint about a file has its file, its line and its key; types are strict."""

import pytest

from mether.setup import decode
from mether.setup.locate import ConfigError


def complaint(text, shape):
    document = decode.parse("f.toml", text)
    with pytest.raises(ConfigError) as caught:
        decode.table(document, ("t",), document.root["t"], shape)
    return str(caught.value)


def test_the_line_is_that_of_the_element_in_a_list():
    shape = {"k": decode.list_of(decode.whole(0, 9), "digits")}
    assert (
        complaint("[t]\nk = [\n 1,\n 22,\n]\n", shape) == "f.toml:4: t.k: expected a whole number from 0 to 9"
    )


def test_a_key_in_another_writing_still_has_its_line():
    assert complaint("\n\nt.'k' = 1\n", {"k": decode.text}) == "f.toml:3: t.k: expected text in quotes"
    assert complaint("t = {x = 1}\n", {"word": decode.text}) == "f.toml:1: t.x: unknown key"


@pytest.mark.parametrize(
    ("convert", "value"),
    [
        (decode.text, ""),
        (decode.text, "a\tb"),
        (decode.text, 1),
        (decode.boolean, 1),
        (decode.boolean, "true"),
        (decode.whole(0, 9), True),
        (decode.whole(0, 9), 1.0),
        (decode.whole(0, 9), "1"),
        (decode.fraction, True),
        (decode.fraction, "0.5"),
        (decode.fraction, -0.1),
        (decode.fraction, float("nan")),
        (decode.duration, 5),
        (decode.duration, None),
        (decode.size, 1.5),
        (decode.size, True),
        (decode.list_of(decode.text, "x"), "x"),
        (decode.list_of(decode.text, "x"), []),
        (decode.one_of("a"), ["a"]),
        (decode.true, False),
        (decode.true, 1),
        (decode.mailbox("ann@example.org"), "ann"),
        (decode.mailbox("ann@example.org"), ["ann@example.org"]),
        (decode.argv, "/bin/cat"),
    ],
)
def test_types_are_strict(convert, value):
    with pytest.raises(ValueError, match="expected"):
        convert(value)


@pytest.mark.parametrize(
    ("text", "line"), [("x = 'a\n", 1), ("\n\nx = [1,\n", 3), ("a = 1\n[a]\n", 2), ("\x00", 1)]
)
def test_what_is_not_toml_has_a_line(text, line):
    with pytest.raises(ConfigError, match=rf"^f\.toml:{line}: this is not TOML: "):
        decode.parse("f.toml", text)


def test_a_number_of_too_many_digits_is_a_complaint():
    with pytest.raises(ConfigError, match=r"^f\.toml: a number has too many digits$"):
        decode.parse("f.toml", "x = " + "9" * 5000)
