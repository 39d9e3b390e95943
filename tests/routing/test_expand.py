"""What addresses come to: aliases, users, catch-alls, lists, and loops."""

from __future__ import annotations

from pathlib import Path

import pytest
from mail import address
from names import Names, users
from names import aliased as router

from mether.outcome import Route
from mether.reply import Reply
from mether.routing import aliases, expand
from mether.routing.request import Request
from mether.routing.resolution import EMPTY, FORBIDDEN, LOOP, UNKNOWN, Resolution
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.routing.source import Needs, TableError, settled

HERE = Route("maildir", "here")


def resolve(router: Router, to: str, sender: str = "s@client.example") -> Resolution:
    request = Request(address(to), sender=address(sender) if sender else None, client="192.0.2.1")
    return settled(lambda: expand.resolve(router, request))


def got(resolution: Resolution) -> list[str]:
    assert resolution.reply is None
    return [str(one.address) for one in resolution.deliveries]


def test_who_has_no_alias_gets_the_mail() -> None:
    found = resolve(router({}), "ann@example.com")
    assert got(found) == ["ann@example.com"]
    assert found.deliveries[0].how == "direct" and found.deliveries[0].route == HERE
    assert found.open and not found.deliveries[0].forwarded


def test_an_alias_of_one() -> None:
    found = resolve(router({"postmaster": "root", "root": "ann@example.net"}), "postmaster@example.com")
    assert got(found) == ["ann@example.net"]
    (one,) = found.deliveries
    assert one.how == found.how == "alias" and one.forwarded and one.route == Route("smtp", "example.net")


def test_an_alias_of_many() -> None:
    found = resolve(router({"staff": "ann, bob, c@example.net, bob"}), "Staff@Example.com")
    assert got(found) == ["ann@Example.com", "bob@Example.com", "c@example.net"]
    assert {one.how for one in found.deliveries} == {"list"}


@pytest.mark.parametrize(
    ("key", "to"),
    [
        ("ann+x@example.com", "ann+x@example.com"),
        ("ann+x", "ann+x@example.com"),
        ("ann@example.com", "ann+x@example.com"),
        ("ann", "ann+x@example.com"),
        ("@example.com", "ann+x@example.com"),
        ("*", "ann+x@example.com"),
        ("ann", "ANN@EXAMPLE.COM"),
        ("odd name", '"odd name"@example.com'),
    ],
)
def test_the_forms_of_names(key: str, to: str) -> None:
    found = resolve(router({key: "other@example.net"}, delimiter="+"), to)
    assert got(found) == ["other@example.net"]


def test_the_most_particular_name_wins() -> None:
    names = {
        "ann+x@example.com": "a@x.example",
        "ann+x": "b@x.example",
        "ann": "d@x.example",
        "*": "f@x.example",
    }
    order = []
    for key in ("ann+x@example.com", "ann+x", "ann", "*"):
        order += got(resolve(router(names, delimiter="+"), "ann+x@example.com"))
        del names[key]
    assert order == ["a@x.example", "b@x.example", "d@x.example", "f@x.example"]


def test_an_alias_of_another_domain_is_not_ours() -> None:
    """A quoted local-part that looks like an address finds no alias of that address."""
    found = resolve(router({"ann@example.org": "other@example.net"}), '"ann@example.org"@example.com')
    assert got(found) == ['"ann@example.org"@example.com']


def test_a_name_that_is_a_star_is_not_everybody() -> None:
    found = resolve(router({"*": "other@example.net"}, users=users("*")), '"*"@example.com')
    assert got(found) == ["other@example.net"], "by the catch-all, as anybody"


def test_users_are_here_and_nobody_else() -> None:
    """550 5.1.1 for who is not here"""
    mine = router({}, users=users("ann", "bob@example.com"), delimiter="+")
    assert got(resolve(mine, "ann@example.com")) == ["ann@example.com"]
    assert got(resolve(mine, "bob+x@example.com")) == ["bob+x@example.com"], "the detail is his business"
    assert resolve(mine, "carol@example.com").reply == Reply(550, "5.1.1", "no such user here")
    assert resolve(router({"carol": "dave"}, users=users("ann")), "carol@example.com").reply is not None


def test_a_catch_all_takes_whom_nobody_else_is() -> None:
    mine = router({"@example.com": "ann", "bob": "carol"}, users=users("ann", "carol"))
    assert got(resolve(mine, "ann@example.com")) == ["ann@example.com"]
    assert got(resolve(mine, "bob@example.com")) == ["carol@example.com"]
    assert got(resolve(mine, "whoever@example.com")) == ["ann@example.com"]


def test_a_catch_all_without_users_takes_all() -> None:
    mine = router({"@example.com": "ann"})
    assert got(resolve(mine, "bob@example.com")) == ["ann@example.com"]
    assert got(resolve(mine, "ann@example.com")) == ["ann@example.com"]


def test_a_domain_goes_to_another_by_the_same_names() -> None:
    mine = router({"@example.com": "@example.net"})
    assert got(resolve(mine, "ann+x@example.com")) == ["ann+x@example.net"]
    assert got(resolve(mine, '"a b"@example.com')) == ['"a b"@example.net']


# Oneself, and loops


def test_an_alias_that_names_itself_delivers_to_itself() -> None:
    mine = router({"ann": "ann, bob@example.net"}, users=users("ann"), delimiter="+")
    assert got(resolve(mine, "ann@example.com")) == ["ann@example.com", "bob@example.net"]
    assert got(resolve(mine, "ann+x@example.com")) == ["ann+x@example.com", "bob@example.net"]


def test_a_backslash_ends_aliasing() -> None:
    mine = router({"ann": "\\bob", "bob": "carol"})
    assert got(resolve(mine, "ann@example.com")) == ["bob@example.com"]


def test_an_alias_for_itself_who_is_not_here() -> None:
    mine = router({"ann": "ann"}, users=users("bob"))
    assert resolve(mine, "ann@example.com").reply == UNKNOWN


@pytest.mark.parametrize(
    "known",
    [
        {"ann": "bob", "bob": "ann"},
        {"ann": "bob, carol", "bob": "carol", "carol": "ann"},
        {"ann": "ann@loop.example", "*": "bob", "bob": "ann"},
    ],
)
def test_a_loop_without_an_end_is_refused(known: dict[str, str]) -> None:
    """5.4.6"""
    only = Rule(["loop.example"], "aliases", aliases=[Names(known)], name="loops")
    found = resolve(Router([only], "mx.example.com"), "ann@loop.example")
    assert found.reply is not None and found.reply.status in ("5.4.6",)


def test_lists_that_name_each_other_reach_everybody_once() -> None:
    mine = router({"staff": "ann, all", "all": "staff, bob"})
    assert got(resolve(mine, "staff@example.com")) == ["ann@example.com", "bob@example.com"]


def test_a_chain_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_DEPTH", 3)
    chain = {f"a{number}": f"a{number + 1}" for number in range(9)}
    found = resolve(router(chain), "a0@example.com")
    assert found.reply == LOOP
    assert "more than 3 aliases one behind the other" in found.problems[0]
    assert got(resolve(router(chain), "a7@example.com")) == ["a9@example.com"]


def test_an_alias_that_comes_to_too_many_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "MAX_MEMBERS", 3)
    with pytest.raises(TableError, match="comes to more than 3 members"):
        resolve(router({"a": "b, c, d, e"}), "a@example.com")
    with pytest.raises(TableError, match="comes to more than 3 members"):
        resolve(router({"a": "b, c", "c": "d, e"}), "a@example.com")


# Other kinds of members


def test_programs_and_files_are_for_rules_that_allow_them() -> None:
    known = {
        "prog": '"|/usr/bin/vacation ann"',
        "file": "/var/mail/a",
        "dir": "/home/a/Maildir/",
        "both": "prog, ann",
    }
    mine = router(known)
    for name in ("prog", "file", "dir"):
        found = resolve(mine, f"{name}@example.com")
        assert found.reply == FORBIDDEN and "= true" in found.problems[0]
    both = resolve(mine, "both@example.com")
    assert got(both) == ["ann@example.com"]
    assert [(str(one.address), one.reply) for one in both.refused] == [("prog@example.com", FORBIDDEN)]
    mine = router(known, alias_programs=True, alias_files=True)
    for name, route in (
        ("prog", Route("pipe", "|/usr/bin/vacation ann")),
        ("file", Route("file", "/var/mail/a")),
        ("dir", Route("file", "/home/a/Maildir/")),
    ):
        (one,) = resolve(mine, f"{name}@example.com").deliveries
        assert (str(one.address), one.route, one.forwarded) == (f"{name}@example.com", route, False)


def test_nobody_gets_what_goes_to_dev_null() -> None:
    found = resolve(router({"noreply": "/dev/null"}), "noreply@example.com")
    assert found.discard and found.reply is None and not found.deliveries
    found = resolve(router({"noreply": "/dev/null, ann"}), "noreply@example.com")
    assert got(found) == ["ann@example.com"]


def test_a_list_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mether.routing.tables_file.CHECK", 0.0)
    path, more = tmp_path / "list", tmp_path / "more"
    path.write_text(f"# who\nann\nbob@example.net\n:include:{more}\n")
    more.write_text("carol\n")
    mine = router({"list": f":include:{path}", "none": f":include:{tmp_path}/none"})
    assert got(resolve(mine, "list@example.com")) == [
        "ann@example.com",
        "bob@example.net",
        "carol@example.com",
    ]
    with pytest.raises(TableError, match="none: No such file"):
        resolve(mine, "none@example.com")
    more.write_text(f"carol\n:include:{path}\n:include:{more}\n")
    assert got(resolve(mine, "list@example.com")) == [
        "ann@example.com",
        "bob@example.net",
        "carol@example.com",
    ], "each list counts once"
    monkeypatch.setattr(expand, "MAX_DEPTH", 1)
    with pytest.raises(TableError, match="lists one in the other"):
        resolve(mine, "list@example.com")


def test_an_empty_list_has_nobody_to_send_to(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# nobody yet\n")
    assert resolve(router({"list": f":include:{tmp_path}/list"}), "list@example.com").reply == EMPTY


def test_text_in_a_table_that_is_no_alias_defers() -> None:
    with pytest.raises(TableError, match=r"the alias for <ann@example.com>: 'b o b' is no member"):
        resolve(router({"ann": "b o b"}), "ann@example.com")


# Mailing lists


def test_a_list_with_an_owner() -> None:
    mine = router({"list": "ann, bob@example.net", "owner-list": "carol", "one": "ann", "owner-one": "carol"})
    found = resolve(mine, "list+x@example.com")
    assert [str(one.owner) for one in resolve(mine, "list@example.com").deliveries] == [
        "owner-list@example.com"
    ] * 2
    assert found.deliveries[0].owner is None, "that is another name, without a delimiter"
    assert resolve(mine, "one@example.com").deliveries[0].owner is None
    assert resolve(mine, "list@example.com", sender="").deliveries[0].owner is None
    assert resolve(mine, "owner-list@example.com").how == "alias"


def test_a_list_in_an_alias_keeps_its_owner() -> None:
    mine = router({"all": "dave, list", "list": "ann, bob", "owner-list": "carol"})
    found = resolve(mine, "all@example.com")
    assert [(str(one.address), str(one.owner)) for one in found.deliveries] == [
        ("dave@example.com", "None"),
        ("ann@example.com", "owner-list@example.com"),
        ("bob@example.com", "owner-list@example.com"),
    ]


# Members go their own ways


def test_members_are_routed_by_the_same_rules() -> None:
    refuses = Rule(["closed.example"], "refuse", Reply(550, "5.7.1", "closed"))
    drops = Rule(["drop.example"], "discard")
    holds = Rule(["held.example"], "hold", "to be looked at")
    mine = router(
        {
            "all": "a@closed.example, b@drop.example, c@held.example, d@else.example",
            "one": "a@closed.example",
        },
        refuses,
        drops,
        holds,
    )
    found = resolve(mine, "all@example.com")
    assert [(str(one.address), one.hold) for one in found.deliveries] == [
        ("c@held.example", "to be looked at"),
        ("d@else.example", None),
    ]
    assert found.discard and [str(one.reply) for one in found.refused] == ["550 5.7.1 closed"]
    assert str(resolve(mine, "one@example.com").reply) == "550 5.7.1 closed"
    assert resolve(mine, "x@drop.example").discard


def test_forward_rules() -> None:
    forwards = Rule(["old.example"], "forward", ("ann@example.com", "bob@example.net"), "old")
    mine = router({"ann": "carol"}, forwards)
    assert got(resolve(mine, "x@old.example")) == ["carol@example.com", "bob@example.net"]
    itself = Rule(["old.example"], "forward", ("x@old.example",), "old")
    assert resolve(router({}, itself), "x@old.example").reply == LOOP
    assert resolve(router({}, itself), "y@old.example").reply == LOOP


def test_the_postmaster_is_always_there() -> None:
    """RFC 5321 section 4.5.1: at each domain of ours, be there a user of that name or not."""
    virtual = Rule(["v.example"], "aliases", aliases=[Names({"ann": "ann@example.com"})], name="virtual")
    mine = router({"postmaster": "ann"}, virtual, users=users("ann"))
    assert got(resolve(mine, "Postmaster@v.example")) == ["ann@example.com"]
    assert resolve(mine, "bob@v.example").reply == UNKNOWN
    nowhere = router({}, virtual, users=users("ann"))
    assert resolve(nowhere, "postmaster@v.example").reply == UNKNOWN


# Tables


def test_a_table_that_cannot_be_read_is_told_of() -> None:
    with pytest.raises(TableError):
        resolve(router(Names({}, broken=True)), "ann@example.com")
    with pytest.raises(TableError):
        resolve(router({}, users=[Names({}, broken=True)]), "ann@example.com")


def test_what_has_to_be_waited_for_is_asked_together() -> None:
    slow = Names(dict.fromkeys((f"u{number}" for number in range(50)), ""), slow=True)
    text = ", ".join(f"u{number}" for number in range(50))
    mine = router({"all": text}, users=[slow])
    rounds = 0
    request = Request(address("all@example.com"))
    import asyncio

    while True:
        try:
            found = expand.resolve(mine, request)
            break
        except Needs as need:
            rounds += 1
            asyncio.run(need.source.learn(need.key))
    assert len(found.deliveries) == 50 and rounds <= 3


def test_a_rule_without_tables_asks_nobody() -> None:
    plain = Rule(["example.com"], "maildir", "/nowhere/{user}", "here")
    mine = Router([plain], "mx.example.com")
    request = Request(address("ann@example.com"))
    found = expand.resolve(mine, request)
    assert got(found) == ["ann@example.com"]
    assert expand.resolve(mine, request).decision is found.decision, "the router's memory is used"
