"""Which reverse-paths a login may use (RFC 6409 section 6.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.auth.senders import Senders, SendersError, _glob, parse_lines, read

TABLE = parse_lines(
    "# login and patterns\n"
    "ann@x.test   ann@x.test @ann.test\n"
    "scanner:     scan-*@x.test postmaster\n"
    "news         *\n"
    "none\n"
    "*            {login} {login}-*@lists.test {login}@users.test\n",
    "f",
)


@pytest.mark.parametrize(
    ("login", "path", "may"),
    [
        ("ann@x.test", "ann@x.test", True),
        ("ann@x.test", "Ann@X.Test", True),
        ("ann@x.test", '"ann"@x.test', True),
        ("ann@x.test", "anyone@ann.test", True),
        ("ann@x.test", "anyone@sub.ann.test", False),
        ("ann@x.test", "bob@x.test", False),
        ("ann@x.test", "ann@x.test.evil", False),
        ("scanner", "scan-3@x.test", True),
        ("scanner", "scan@x.test", False),
        ("scanner", "postmaster", True),
        ("news", "whoever@where.test", True),
        ("none", "none@x.test", False),
        ("bob@y.test", "bob@y.test", True),
        ("bob", "bob@users.test", True),
        ("bob", "bob-list@lists.test", True),
        ("bob", "ann@users.test", False),
        ("*", "any@users.test", False),  # a star in a login is not a pattern
    ],
)
def test_the_table(login, path, may):
    assert TABLE.may(login, parse(path)) is may


def test_the_null_reverse_path_is_everyones():
    assert TABLE.may("none", None)


def test_without_a_line_a_login_is_not_tied():
    table = Senders({"ann": ["ann@x.test"]})
    assert table.may("bob", parse("ann@x.test"))
    assert not table.may("ann", parse("bob@x.test"))


def test_the_password_files_patterns_decide():
    assert Senders({}).may("bob", parse("b@x.test"), ("b@x.test",))
    assert not TABLE.may("news", parse("b@x.test"), ())


def test_u_labels_are_a_labels():
    table = Senders({"ann": ["@bücher.test"]})
    assert table.may("ann", parse("a@xn--bcher-kva.test"))
    assert table.may("ann", parse("a@bücher.test", utf8=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [("ann nobody\n", "f:2: 'nobody'"), ("x *\nx *\n", "f:3: x has"), ("x a\x07@b\n", "f:2")],
)
def test_a_bad_line_is_one_clear_error(text, words):
    with pytest.raises(SendersError) as caught:
        parse_lines("\n" + text, "f")
    assert words in str(caught.value)


def test_files(tmp_path):
    path = tmp_path / "senders"
    with pytest.raises(SendersError, match="No such file"):
        read(str(path))
    path.write_bytes(b"ann *\n\xff *\n")
    with pytest.raises(SendersError, match=":2: not UTF-8"):
        read(str(path))
    path.write_bytes(b"ann ann@x.test\n")
    assert not read(str(path)).may("ann", parse("bob@x.test"))


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_the_star_is_that_of_a_shell(pattern, text):
    from fnmatch import fnmatchcase

    assert _glob(pattern.split("*"), text) is fnmatchcase(text, pattern)
