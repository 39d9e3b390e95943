"""Lines of keys, held against what tomllib reads from the same text."""

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from mether.setup.position import positions

EXAMPLE = '''\
# a comment with [brackets] and = signs
[service]
hostname = "mx.example.test"

[[route]]
domains = ["a.test",
  # not "this" one
  "b.test", ]
maildir = """
[not.a.table]
x = 1 \\""" still
"""

[[route]]
'dom.ains' = { "q\\u0075ote" = [1, {deep = 2}], x.y = 1979-05-27 07:32:00 }
[route.more]
key.sub = """"quoted""""
'''


def test_the_lines_of_an_example():
    assert positions(EXAMPLE) == {
        ("service",): 2,
        ("service", "hostname"): 3,
        ("route",): 5,
        ("route", 0): 5,
        ("route", 0, "domains"): 6,
        ("route", 0, "domains", 0): 6,
        ("route", 0, "domains", 1): 8,
        ("route", 0, "maildir"): 9,
        ("route", 1): 14,
        ("route", 1, "dom.ains"): 15,
        ("route", 1, "dom.ains", "quote"): 15,
        ("route", 1, "dom.ains", "quote", 0): 15,
        ("route", 1, "dom.ains", "quote", 1): 15,
        ("route", 1, "dom.ains", "quote", 1, "deep"): 15,
        ("route", 1, "dom.ains", "x"): 15,
        ("route", 1, "dom.ains", "x", "y"): 15,
        ("route", 1, "more"): 16,
        ("route", 1, "more", "key"): 17,
        ("route", 1, "more", "key", "sub"): 17,
    }
    tomllib.loads(EXAMPLE)


def paths(value, at=()):
    """Every key path in what tomllib gave."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


# Random documents: values that each stand on a known number of lines, in tables of random names.

LETTERS = st.text("abcé .#=[]{}\"'\\,\n\t", max_size=8)
BARE = st.text("abc-_1", min_size=1, max_size=3)
BLANK = st.sampled_from(["", " ", "\t "])
GAP = st.sampled_from(["", " ", "\n", " # it's ]a} \"comment\n\t", "\r\n"])


def quoted(text):
    return json.dumps(text, ensure_ascii=len(text) % 2 == 0)


def multi(text):
    return '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '\\\n  x"" """'


KEY = st.one_of(
    BARE, LETTERS.map(quoted), LETTERS.map(lambda t: "'" + t.replace("'", "").replace("\n", "") + "'")
)
SCALAR = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(
        ["true", "1.5e3", "inf", "1979-05-27T07:32:00Z", "1979-05-27 07:32:00", "07:32:00", "0xF"]
    ),
    LETTERS.map(quoted),
    LETTERS.map(multi),
    LETTERS.map(lambda t: "'''" + t.replace("'", "") + "''''"),
    LETTERS.map(lambda t: "'" + t.replace("'", "").replace("\n", "") + "'"),
)


@st.composite
def array(draw, values):
    items = draw(st.lists(st.tuples(GAP, values, GAP), max_size=3))
    comma = draw(st.sampled_from(["", ","])) if items else ""
    return "[" + ",".join(a + b + c for a, b, c in items) + comma + draw(GAP) + "]"


@st.composite
def inline(draw, values):
    keys = draw(st.lists(KEY, max_size=3))
    pairs = [f"{draw(BLANK)}{key}{draw(BLANK)}={draw(BLANK)}{draw(values)}{draw(BLANK)}" for key in keys]
    return "{" + ",".join(pairs) + "}"


VALUE = st.recursive(SCALAR, lambda values: array(values) | inline(values), max_leaves=5)


@st.composite
def document(draw):
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["pair", "pair", "table", "array", "comment"]))
        dotted = f"{draw(BLANK)}.{draw(BLANK)}".join(draw(st.lists(KEY, min_size=1, max_size=3)))
        if kind == "pair":
            lines.append(f"{draw(BLANK)}{dotted}{draw(BLANK)}={draw(BLANK)}{draw(VALUE)}{draw(BLANK)}")
        elif kind == "table":
            lines.append(f"{draw(BLANK)}[{draw(BLANK)}{dotted}{draw(BLANK)}] # [x]")
        elif kind == "array":
            lines.append(f"[[{dotted}]]")
        else:
            lines.append("# x = [\"'''")
    return draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(lines)


@given(document())
def test_every_path_that_tomllib_reads_has_a_line_and_no_other(text):
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a key twice, mostly: not ours to place
    found = positions(text)
    assert set(found) == set(paths(parsed))
    count = text.replace("\r\n", "\n").count("\n") + 1
    assert all(1 <= line <= count for line in found.values())


@given(st.lists(st.tuples(BARE, VALUE, GAP), max_size=5))
def test_a_key_is_on_the_line_where_it_was_written(pairs):
    text, expected = "", {}
    for number, (name, value, gap) in enumerate(pairs):
        text += gap.strip(" ") if gap.strip() else gap
        expected[f"{name}{number}",] = text.replace("\r\n", "\n").count("\n") + 1
        text += f"{name}{number} = {value}\n"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # an inline table with a key twice
    found = positions(text)
    assert {path: line for path, line in found.items() if len(path) == 1} == expected
