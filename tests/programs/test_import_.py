"""``mether import``: what comes of another program's queue in ours."""

import os
import sys

import pytest

from mether.programs import smtpq
from mether.programs.mether import main
from mether.queue.selection import Filter

OTHERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "importing")
if OTHERS not in sys.path:
    sys.path.append(OTHERS)

import queues_of_others as others  # noqa: E402

MAKE = {
    "postfix": others.postfix,
    "exim": others.exim,
    "nullmailer": others.nullmailer,
    "dma": others.dma,
    "opensmtpd": others.opensmtpd,
}

FILE = """
[service]
hostname = "mx.example.com"
postmaster = "postmaster@example.com"

[[route]]
domains = ["example.net"]
smtp = "relay.example.com"
"""


@pytest.fixture(autouse=True)
def file(tmp_path, url, monkeypatch):
    path = tmp_path / "mether.toml"
    path.write_text(FILE)
    monkeypatch.setenv("METHER_CONFIG", str(path))


def run(capsys, source, base, *more, status=0):
    assert main(["import", "--from", source, *more, str(base)]) == status
    return capsys.readouterr()


def queued(store):
    return store.entries(Filter())


def octets(store, ident):
    return b"".join(store.content(ident).chunks())


@pytest.mark.parametrize("source", sorted(MAKE))
def test_a_message_is_taken_over_as_it_is(store, tmp_path, capsys, source):
    """Once however often; the content octet for octet, its line ends made CRLF; nothing is changed there."""
    base = tmp_path / "other"
    MAKE[source](base)
    before = others.tree(base)
    said = run(capsys, source, base, "-n")
    assert "1 would be imported" in said.out
    assert queued(store) == []
    said = run(capsys, source, base)
    assert said.err == ""
    assert said.out.endswith("1 imported\n")
    (entry,) = queued(store)
    assert str(entry.message.envelope.reverse_path) == "ann@example.org"
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["bob@example.net"]
    assert [(str(row.route), row.pinned) for row in entry.rows] == [("smtp:relay.example.com", False)]
    assert entry.message.arrival.at == others.AT
    content = octets(store, entry.message.ident)
    assert content.endswith(b"\r\n\r\nHello.\r\n")
    assert content.startswith(b"Subject: hi\r\n")
    assert run(capsys, source, base).out == "0 imported, 1 were imported before\n"
    assert len(queued(store)) == 1
    assert others.tree(base) == before


def test_a_large_message_and_one_that_is_held(store, tmp_path, capsys):
    large = b"Subject: big\n\n" + b"0123456789\n" * 20_000
    data = others.postfix_file(others.record("R", "bob@example.net"), content=large)
    others.postfix(tmp_path / "other", queue="hold", data=data)
    assert "held in Postfix's queue" in run(capsys, "postfix", tmp_path / "other").out
    (entry,) = queued(store)
    assert entry.message.hold == "held in Postfix's queue"
    assert octets(store, entry.message.ident) == large.replace(b"\n", b"\r\n")


def test_all_may_be_held(store, tmp_path, capsys):
    others.nullmailer(tmp_path / "other")
    run(capsys, "nullmailer", tmp_path / "other", "--hold")
    assert [entry.message.hold for entry in queued(store)] == ["imported, on hold"]


def test_what_was_on_hold_there_stays_when_the_rest_is_released(store, tmp_path, capsys):
    others.postfix(tmp_path / "other")
    others.postfix(tmp_path / "other", queue="hold", name="HELD")
    run(capsys, "postfix", tmp_path / "other", "--hold")
    held = sorted(entry.message.hold for entry in queued(store))
    assert held == ["held in Postfix's queue", "imported, on hold"]
    assert smtpq.main(["release", "--reason", "imported*"]) == 0
    assert capsys.readouterr().out == "1 message released\n"
    assert {entry.message.hold for entry in queued(store)} == {None, "held in Postfix's queue"}


def test_what_cannot_be_read_is_a_line_each_and_the_rest_comes(store, tmp_path, capsys):
    base = tmp_path / "other"
    others.postfix(base)
    bad = others.postfix(base, queue="active", name="BAD", data=b"nonsense")
    nul = others.postfix_file(others.record("R", "bob@example.net"), content=b"a\0b\n")
    null = others.postfix(base, queue="active", name="NUL", data=nul)
    said = run(capsys, "postfix", base, status=65)
    assert sorted(line.split(":")[1].strip() for line in said.err.splitlines()) == sorted(
        [str(bad), str(null)]
    )
    assert "1 imported, 2 could not be read\n" in said.out
    assert len(queued(store)) == 1


def test_an_import_that_was_cut_short_is_finished(store, tmp_path, capsys, monkeypatch):
    """What was committed before it was killed does not come twice."""
    base = tmp_path / "other"
    for name in ("A1", "A2", "A3"):
        others.postfix(base, name=name)
    from mether.programs import import_

    whole, calls = import_.Import._message, []

    def killed(self, one):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(one)
        whole(self, one)

    monkeypatch.setattr(import_.Import, "_message", killed)
    with pytest.raises(BaseException):  # noqa: B017, PT011
        raise SystemExit(main(["import", "--from", "postfix", str(base)]))
    monkeypatch.undo()
    monkeypatch.setenv("METHER_CONFIG", str(tmp_path / "mether.toml"))
    monkeypatch.setenv("METHER_SPOOL", f"{type(store).__name__[:-5].lower()}:{tmp_path / 'spool'}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(queued(store)) == 2
    capsys.readouterr()
    assert "1 imported, 2 were imported before" in run(capsys, "postfix", base).out
    assert len(queued(store)) == 3


def test_a_program_that_runs_on_it_is_in_the_way(store, tmp_path, capsys):
    import fcntl

    base = tmp_path / "other"
    others.postfix(base)
    (base / "pid").mkdir()
    with (base / "pid" / "master.pid").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = run(capsys, "postfix", base, status=75)
        assert "seems to be running" in said.err
        assert queued(store) == []
        run(capsys, "postfix", base, "--force")
    assert len(queued(store)) == 1


def test_aliases_of_ours_and_addresses_that_we_would_refuse(store, tmp_path, capsys):
    with (tmp_path / "mether.toml").open("a") as file:
        file.write('[[route]]\ndomains = ["no.test"]\nrefuse = "550 5.7.1 never"\n')
    others.nullmailer(tmp_path / "other", b"ann@example.org\nx@no.test\nbob@example.net\n\nHello.\n")
    run(capsys, "nullmailer", tmp_path / "other")
    (entry,) = queued(store)
    assert [str(row.route) for row in entry.rows] == ["smtp:no.test", "smtp:relay.example.com"]


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["import", "."], 64, "import needs --from postfix, exim, nullmailer, dma or opensmtpd"),
        (["import", "--from", "postfix"], 64, "import needs one DIR"),
        (["import", "--from", "sendmail", "."], 64, "--from: 'sendmail' is not one of"),
        (["import", "--from", "postfix", "/nowhere"], 66, "/nowhere: no such directory"),
        (["import", "--from", "postfix", "/etc"], 66, "it is no queue_directory of Postfix"),
    ],
)
def test_what_names_no_queue_is_one_line(capsys, argv, status, said):
    assert main(argv) == status
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
