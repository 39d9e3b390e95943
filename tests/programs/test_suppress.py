"""``mether suppress``: seen, changed, and every mistake told in one line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from denied import NOBODY, forbidden
from mail import address

from mether.programs.mether import main
from mether.queue.suppressed import FILE, Suppressions
from mether.queue.suppressed_row import Suppressed


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{tmp_path / 'spool'}")
    monkeypatch.setenv("METHER_CONFIG", "")
    monkeypatch.delenv("NOSYSEXITS", raising=False)
    return tmp_path / "spool"


@contextmanager
def others(spool: Path) -> Iterator[None]:
    """Be a user to whom the spool does not belong, and who may look into it."""
    above = {one: one.stat().st_mode for one in (spool, *spool.parents)}
    for path in spool.iterdir():
        if path.is_file():
            path.chmod(0o444)
    for one, mode in above.items():
        one.chmod(0o555 if one == spool else mode | 0o011)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for one, mode in above.items():
            one.chmod(mode)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["suppress", *arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_added_shown_and_removed(capsys: pytest.CaptureFixture[str], spool: Path) -> None:
    assert run(capsys, "list") == (0, "", "")
    assert not spool.exists()
    assert run(capsys, "add", "--reason", "asked for it", "Bob@Example.net", "ann@example.org") == (0, "", "")
    status, out, _ = run(capsys, "list")
    assert status == 0
    first, second = out.splitlines()
    assert first.startswith("Bob@example.net ") and first.endswith("policy: asked for it")
    assert "for ever" in second
    assert run(capsys, "remove", "BOB@example.net") == (0, "1 address removed\n", "")
    assert run(capsys, "list")[1].splitlines() == [second]
    assert (spool / FILE).stat().st_mode & 0o777 == 0o600


def test_checked(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "--for", "30d", "--kind", "no such user", "bob@example.net")
    status, out, err = run(capsys, "check", "bob@example.net", "eve@example.net")
    assert status == 67
    assert err == "mether: eve@example.net is not on the suppression list\n"
    assert out.startswith("bob@example.net\n  since ") and "class     no such user 5.1.1\n" in out
    assert "known by  person\n" in out
    assert run(capsys, "show", "bob@example.net")[0] == 0


def test_what_stops_no_mail_is_told_so(capsys: pytest.CaptureFixture[str], spool: Path) -> None:
    run(capsys, "add", "ann@example.net")
    known = Suppressions(str(spool), create=True)
    known.record([failure("bob@example.net")], keep=None, after=2)
    known.put([failure("eve@example.net", until=5.0)])
    known.close()
    assert run(capsys, "list")[1].count("\n") == 1
    assert run(capsys, "list", "--all")[1].count("\n") == 3
    for one, why in (("bob", "has not failed often enough"), ("eve", "that is over")):
        status, out, _ = run(capsys, "check", f"{one}@example.net")
        assert status == 67 and why in out


def failure(text: str, **named: object) -> Suppressed:
    usual = {"source": "delivery", "since": 1.0, "kind": "no such user"}
    return Suppressed(address(text), **{**usual, **named})  # type: ignore[arg-type]


def test_chosen_by_filters(capsys: pytest.CaptureFixture[str], spool: Path) -> None:
    run(capsys, "add", "ann@example.org")
    known = Suppressions(str(spool), create=True)
    known.put([failure("bob@example.net"), failure("eve@example.net", kind="mailbox full")])
    known.close()

    def listed(*filters: str) -> list[str]:
        return [line.split()[0] for line in run(capsys, "list", *filters)[1].splitlines()]

    assert listed("--match", "*@example.net") == ["bob@example.net", "eve@example.net"]
    assert listed("--kind", "mailbox full") == ["eve@example.net"]
    assert listed("--source", "person") == listed("--newer", "1d") == ["ann@example.org"]
    assert listed("--older", "1d", "--kind", "no such user") == ["bob@example.net"]
    dry = run(capsys, "remove", "--source", "delivery", "--dry-run")
    assert [line.split()[0] for line in dry[1].splitlines()] == ["bob@example.net", "eve@example.net", "2"]
    assert dry[1].endswith("\n2 addresses would be removed\n")
    assert run(capsys, "remove", "--source", "delivery")[1] == "2 addresses removed\n"
    assert listed() == ["ann@example.org"]
    assert run(capsys, "remove", "--all")[1] == "1 address removed\n"
    assert listed() == []


def test_json_is_a_copy_that_import_reads(
    capsys: pytest.CaptureFixture[str], spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "add", "--reason", "who?", "bob@example.net")
    known = Suppressions(str(spool), create=True)
    known.record([failure("eve@example.net", since=2.0, remote="mx")], keep=None, after=1)
    known.close()
    out = run(capsys, "list", "--json")[1]
    assert [json.loads(line)["address"] for line in out.splitlines()] == [
        "bob@example.net",
        "eve@example.net",
    ]
    run(capsys, "remove", "--all")
    monkeypatch.setattr(sys, "stdin", type("", (), {"buffer": BytesIO(out.encode())}))
    assert run(capsys, "import")[:2] == (0, "2 addresses imported\n")
    assert run(capsys, "list", "--json")[1] == out
    assert json.loads(run(capsys, "check", "--json", "eve@example.net")[1])["source"] == "delivery"


@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        ((), 64, "suppress needs one of list, check, add, remove and import"),
        (("lst",), 64, "unknown: suppress 'lst' (did you mean list?)"),
        (("list", "x@y.example"), 64, "takes no operand"),
        (("add",), 64, "suppress add needs an address"),
        (("add", "nobody"), 64, "'nobody' is not an address"),
        (("add", "postmaster"), 64, "it has no domain"),
        (("add", "b*@example.net"), 64, "a pattern, where an address or @domain is expected"),
        (("add", "--for", "soon", "a@x.example"), 64, "--for: expected a duration"),
        (("add", "--kind", "mailbox ful", "a@x.example"), 64, "did you mean 'mailbox full'?"),
        (("add", "--match", "x", "a@x.example"), 64, "--match is not for suppress add"),
        (("list", "--older", "x"), 64, "--older: expected a duration"),
        (("remove",), 64, "needs addresses, filters, or --all"),
        (("remove", "--all", "a@x.example"), 64, "takes addresses or filters, and not both"),
        (("remove", "a@x.example"), 67, "a@x.example is not on the suppression list"),
        (("remove", "-n", "a@x.example"), 67, "a@x.example is not on the suppression list"),
        (("list", "--repair"), 0, ""),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, what: str
) -> None:
    got, _, err = run(capsys, *arguments)
    assert got == status
    assert what in err and err.count("\n") == (1 if what else 0)


def test_options_of_suppress_are_for_no_other_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--match", "x"]) == 64
    assert "--match is for suppress, and not for config" in capsys.readouterr().err


def test_a_damaged_list_is_one_line(capsys: pytest.CaptureFixture[str], spool: Path) -> None:
    spool.mkdir()
    (spool / FILE).write_bytes(b"no database " * 999)
    status, _, err = run(capsys, "list")
    assert status == 75
    assert err.startswith(f"mether: the suppression list {spool / FILE} is damaged") and err.count("\n") == 1


def test_a_queue_in_memory_has_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METHER_SPOOL", "memory:")
    status, _, err = run(capsys, "list")
    assert status == 78 and "in memory" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("check", "a@x.example"),
        ("add", "a@x.example"),
        ("remove", "a@x.example"),
        ("remove", "--all"),
    ],
)
def test_who_may_not_see_the_list_is_told_so(
    capsys: pytest.CaptureFixture[str], spool: Path, arguments: tuple[str, ...]
) -> None:
    """An empty list would be a wrong answer."""
    run(capsys, "add", "bob@example.net")
    with forbidden(str(spool)):
        status, out, err = run(capsys, *arguments)
    assert (status, out) == (77, "")
    assert err == f"mether: the suppression list {spool / FILE} cannot be used: Permission denied\n"


def test_a_list_of_anothers_can_be_read_but_not_changed(
    capsys: pytest.CaptureFixture[str], spool: Path
) -> None:
    run(capsys, "add", "bob@example.net")
    with others(spool):
        assert run(capsys, "list")[0] in (0, 77)
        status, _, err = run(capsys, "add", "ann@example.net")
    assert status == 77 and "Permission denied" in err and err.count("\n") == 1


def test_a_copy_is_the_list(
    tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of every address, counts too: those that have not failed often enough, and those whose time
    is over."""
    now = time.time()
    known = Suppressions(str(spool), create=True)
    run(capsys, "add", "--reason", "asked", "--for", "30d", '"a b"@example.net', "@hop.test")
    for at, name in ((now - 50.5, "bob"), (now - 40.25, "bob"), (now - 9.0, "carl")):
        one = Suppressed(
            address(f"{name}@example.net"),
            source="delivery",
            since=at,
            kind="no such user",
            status="5.1.1",
            reason="550 who?",
            remote="mx.example.net",
        )
        known.record([one], keep=900.0, after=2)
    gone = Suppressed(
        address("old@example.net"), source="bounce", since=now - 99.0, until=now - 9.0, note="n"
    )
    known.put([gone])
    known.close()
    copied = run(capsys, "list", "--all", "--json")[1]
    facts = [json.loads(line) for line in copied.splitlines()]
    assert [(one["address"], one["active"], one["times"]) for one in facts] == [
        ('"a b"@example.net', True, 1),
        ("bob@example.net", True, 2),
        ("carl@example.net", False, 1),
        ("old@example.net", True, 1),
        ("@hop.test", True, 1),
    ]
    (tmp_path / "copy").write_text(copied)
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{tmp_path / 'other'}")
    for _ in range(2):
        assert run(capsys, "import", str(tmp_path / "copy")) == (0, "5 addresses imported\n", "")
        assert run(capsys, "list", "--all", "--json")[1] == copied


def test_a_whole_domain(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "add", "--reason", "moved", "*@hop.test") == (0, "", "")
    assert run(capsys, "add", "HOP.test", "@hop.test") == (0, "", "")
    assert run(capsys, "list")[1].split()[0] == "@hop.test"
    status, out, _ = run(capsys, "check", "ann@Hop.test", "hop.test")
    assert status == 0
    assert [line for line in out.splitlines() if not line.startswith(" ")] == ["@hop.test", "@hop.test"]
    assert run(capsys, "check", "ann@sub.hop.test")[0] == 67
    assert run(capsys, "list", "--match", "*@hop.test")[1].startswith("@hop.test")
    assert main(["route", "--no-dns", "ann@hop.test"]) == 67
    assert "suppressed address" in capsys.readouterr().out
    assert run(capsys, "remove", "hop.test") == (0, "1 address removed\n", "")


def test_what_has_no_effect_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mether.toml"
    config.write_text('[[route]]\ndomains = ["here.example"]\nmaildir = "mail/{user}"\n')
    monkeypatch.setenv("METHER_CONFIG", str(config))
    status, out, err = run(capsys, "add", "ann@here.example", "@here.example", "ann@far.example")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        f"mether: warning: {name} is on the list, which is not asked about mail that goes there"
        for name in ("ann@here.example", "@here.example")
    ]


def test_one_bad_address_does_not_keep_the_others_from_being_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(capsys, "add", "ann@far.example")
    status, out, err = run(capsys, "check", "no address", "ann@far.example")
    assert status == 64
    assert out.startswith("ann@far.example\n")
    assert err.startswith("mether: 'no address' is not an address: ")


def test_a_dry_run_names_what_would_go(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "add", "ann@far.example", "bob@far.example", "bob@example.net")
    status, out, _ = run(capsys, "remove", "--match", "*@far.example", "-n")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["ann@far.example", "bob@far.example", "2"]
    assert len(run(capsys, "list")[1].splitlines()) == 3


def test_help_is_of_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert "mether suppress list" in out and "mether suppress import" in out and "--match" in out
    assert "mether route" not in out and "--scheme" not in out
    status, out, _ = run(capsys, "remove", "--help")
    assert "mether suppress remove" in out and "--match" in out and "--dry-run" in out
    assert "suppress list [" not in out and "--reason" not in out
    assert main(["bounce", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--attached" in out and "mether suppress" not in out
    assert main(["--help"]) == 0
    assert "mether config" in capsys.readouterr().out
