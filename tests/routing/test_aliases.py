"""Aliases as sendmail and Postfix write them, and what is said of those that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.routing import aliases


def table(text: str) -> dict[str, str]:
    return aliases.parse(text.encode(), "aliases")


def shown(text: str) -> list[str]:
    """The members as kind:what."""
    return [
        f"{one.kind}:{one.address if one.address is not None else one.text}" for one in aliases.members(text)
    ]


def test_a_file_as_every_unix_has_it() -> None:
    text = (
        "# Basic system aliases\n\n"
        "MAILER-DAEMON: postmaster\n"
        "postmaster:\troot\n"
        "root: ann,\n"
        "\tbob@example.net,\n"
        "# in between\n\n"
        "   carol\n"
        '"odd name": ann\n'
        "ann@Example.ORG: bob\n"
        "@example.org: ann\n"
        "noreply: /dev/null"
    )
    assert table(text) == {
        "mailer-daemon": "postmaster",
        "postmaster": "root",
        "root": "ann, bob@example.net, carol",
        "odd name": "ann",
        "ann@example.org": "bob",
        "@example.org": "ann",
        "noreply": "/dev/null",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bob", ["address:bob"]),
        ("bob, carol@example.net,", ["address:bob", "address:carol@example.net"]),
        ("\\bob", ["user:bob"]),
        ('"\\bob"', ["user:bob"]),
        ('"odd name"', ['address:"odd name"']),
        ('"odd, name"@example.net', ['address:"odd, name"@example.net']),
        ("Bob Smith <bob@example.net>, <carol>", ["address:bob@example.net", "address:carol"]),
        ('"Smith, Bob" <bob@example.net>', ["address:bob@example.net"]),
        ("bob (the builder, really), carol", ["address:bob", "address:carol"]),
        ("@example.net", ["domain:example.net"]),
        (":include:/etc/list", ["include:/etc/list"]),
        ('":include:/etc/a, b"', ["include:/etc/a, b"]),
        ("/var/mail/archive", ["file:/var/mail/archive"]),
        ("/home/ann/Maildir/", ["file:/home/ann/Maildir/"]),
        ("|/usr/bin/vacation ann", ["program:/usr/bin/vacation ann"]),
        ('"|/usr/bin/vacation -a x, ann"', ["program:/usr/bin/vacation -a x, ann"]),
        ('|"/usr/bin/vacation ann"', ["program:/usr/bin/vacation ann"]),
        ('\\ann, "|/usr/bin/vacation ann"', ["user:ann", "program:/usr/bin/vacation ann"]),
        ('"|/bin/p \\"a b\\""', ['program:/bin/p "a b"']),
        ("bücher@münchen.example", ["address:bücher@münchen.example"]),
    ],
)
def test_members(text: str, expected: list[str]) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ann bob\n", "aliases:1: 'ann bob' has no colon; expected name: members"),
        ("ann: bob\nx\n", "aliases:2: 'x' has no colon"),
        (": bob\n", "aliases:1: no name before the colon"),
        ("ann:\n", "aliases:1: nobody is named"),
        ("ann: bob carol\n", "aliases:1: 'bob carol' is no member of an alias"),
        ("ann: bob # a friend\n", "a comment has a line of its own"),
        ("ann: bob\nbob: carol\nAnn: dave\n", "aliases:3: ann stands in line 1 already, with other members"),
        ("  bob\n", "aliases:1: nothing to go on with"),
        ("ann: |vacation\n", "expected | and the absolute path of a program"),
        ("ann: :include:list\n", "expected :include: and an absolute path"),
        ('ann: "bob\n', 'expected a second " behind'),
        ("ann: bob (builder\n", "expected a ) behind"),
        ("ann..b: bob\n", "is no name of an alias"),
        ("ann: bob@\n", "'bob@' is no member of an alias"),
        ("ann: bob>\n", "expected < before >"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^aliases:") as caught:
        table(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_same_line_twice_is_no_harm() -> None:
    assert table("ann: bob\nANN: bob\n") == {"ann": "bob"}


def test_a_list_has_a_member_or_more_on_a_line() -> None:
    found = aliases.included(b"# the list\nann\nbob, carol@example.net,\n\n:include:/etc/more\n", "list")
    assert [one.text for one in found] == ["ann", "bob", "carol@example.net", "/etc/more"]


@pytest.mark.parametrize("line", ["|/bin/sh", '"|/bin/sh -c x"', "/etc/passwd"])
def test_a_list_runs_no_programs_and_writes_no_files(line: str) -> None:
    with pytest.raises(ValueError, match=r"list:2: '[|/].*expected an address; a list has no"):
        aliases.included(f"ann\n{line}\n".encode(), "list")


def test_what_a_rule_does_not_allow_can_be_listed() -> None:
    known = table("a: |/bin/x\nb: /var/mail/b\nc: /dev/null\nd: ann/x@example.net\n")
    assert [line.split(":")[0] for line in aliases.unwanted(known, programs=False, files=False)] == ["a", "b"]
    assert [line.split(":")[0] for line in aliases.unwanted(known, programs=True, files=False)] == ["b"]
    assert not list(aliases.unwanted(known, programs=True, files=True))


def test_there_is_a_limit_to_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "MAX_MEMBERS", 3)
    with pytest.raises(ValueError, match="list:4: more than 3 members"):
        aliases.included(b"a\nb\nc\nd\n", "list")


@given(st.text(alphabet='ab@.:|/\\"(),<>\n\t #é', max_size=60))
def test_nothing_written_breaks_it(text: str) -> None:
    said = ""
    try:
        known = table(text)
    except ValueError as error:
        known, said = {}, str(error)
    assert said == "" or said.startswith("aliases:")
    for members in known.values():
        assert aliases.members(members)
