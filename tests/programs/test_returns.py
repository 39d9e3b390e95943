"""What is returned is what was chosen; what was printed is done, and what was not is as it was."""

import email
import email.policy
import json
import os
import signal
from pathlib import Path

import pytest
from denied import forbidden
from queues import BUSY, NOW, defer, put

from mether.event import mail as event
from mether.programs import cleansmtpq, returns, returns_batch
from mether.programs.returnsmtpmail import main
from mether.queue.open import open_store
from mether.queue.store import Filter, NoSpace, StoreError
from mether.runner import returning
from mether.runner.returning import UNTRIED

CONFIG = """
[service]
hostname = "home.test"
postmaster = "pm@home.test"
undeliverable_reports = "{choice}"
[[route]]
domains = ["home.test"]
maildir = "mail/{{user}}"
[[route]]
domains = ["*"]
mx = true
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Batches small enough for a few messages to be several; nothing goes to the system's log."""
    monkeypatch.setattr(returns, "BATCH", 2)
    monkeypatch.setattr(returns_batch, "TOGETHER", 3)
    monkeypatch.setattr("mether.setup.logs.to_syslog", lambda config: None)


@pytest.fixture
def config(tmp_path):
    def write(choice="postmaster"):
        path = tmp_path / "m.toml"
        path.write_text(CONFIG.format(choice=choice))
        return str(path)

    return write


def waiting(store):
    return {entry.message.ident: entry for entry in store.entries(Filter())}


def senders(store):
    """The reverse-paths of what is queued; None are the reports."""
    return [entry.message.envelope.reverse_path for entry in waiting(store).values()]


def returned(out):
    return [line.split()[0] for line in out.splitlines()]


def test_all_is_all_that_was_there_and_no_report(store, capsys):
    idents = [put(store, "bob@example.net", f"c@{number}.test") for number in range(7)]
    assert main(["--all"]) == 0
    assert returned(capsys.readouterr().out) == idents
    assert senders(store) == [None] * 7


@pytest.mark.parametrize("many", [2, 3, 4, 7])
def test_one_report_tells_of_all_next_hops(store, capsys, many):
    """BNC-3: however many claims a message is, and wherever a transaction of them would end."""
    ids = [put(store, *(f"c{number}@{number}.test" for number in range(many))) for _ in range(3)]
    assert main(["--json", "--all"]) == 0
    told = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [one["queue_id"] for one in told] == ids
    assert [len(one["recipients"]) for one in told] == [many] * 3
    assert sorted(report for one in told for report in one["reports"]) == sorted(waiting(store))
    for one in told:
        (report,) = one["reports"]
        parsed = email.message_from_bytes(store.content(report).read(), policy=email.policy.default)
        blocks = list(parsed.iter_parts())[1].get_payload()[1:]
        assert [each["Final-Recipient"] for each in blocks] == [
            f"rfc822;c{number}@{number}.test" for number in range(many)
        ]


@pytest.mark.parametrize(
    ("argv", "which"),
    [
        (["--sender", "ann@*"], [0, 2]),
        (["--sender", "<>"], [1]),
        (["--recipient", "BOB@*"], [0, 1]),
        (["--next-hop", "else.test"], [2]),
        (["--older", "1d"], [1]),
        (["--sender", "ann@*", "--recipient", "bob@*"], [0]),
        (["--status", "held"], [2]),
    ],
)
def test_the_filters_of_smtpq(argv, which, store, config, capsys):
    idents = [
        put(store),
        put(store, sender="", age=2 * 86400),
        put(store, "dan@else.test"),
    ]
    store.change(Filter(idents=frozenset(idents[2:])), "hold", now=NOW)
    assert main(["-C", config(), *argv]) == 0
    gone = [idents[number] for number in which]
    assert sorted(returned(capsys.readouterr().out)) == sorted(gone)
    assert set(idents) - set(waiting(store)) == set(gone)


def test_all_that_waits_for_a_host_that_is_down(url, store, capsys):
    """It is not probed for that, and stays as down as it was; what it said last is the reason."""
    idents = [put(store)]
    defer(url, failures=4)
    (before,) = store.hops()
    idents += [put(store) for _ in range(6)]
    store.suspend([before.route], reason="moving house", until=None)
    assert main(["--next-hop", "example.net"]) == 0
    assert returned(capsys.readouterr().out) == idents
    (hop,) = store.hops("example.net")
    assert (hop.failures, hop.not_before, hop.suspended) == (4, before.not_before, "moving house")
    texts = [store.content(ident).read() for ident in waiting(store)]
    assert len(texts) == 7
    assert all(b"mailbox busy" in text for text in texts)


def test_ids_and_filters_hold_together(store, capsys):
    one, other = put(store), put(store, "dan@else.test")
    assert main([one, other, "--next-hop", "else.test"]) == 0
    assert returned(capsys.readouterr().out) == [other]
    assert one in waiting(store)


def test_of_a_message_only_the_recipients_that_match(store, capsys):
    """Others stay, at the same next hop too, and as they were."""
    ident = put(store, "bob@example.net", "cat@example.net", "bob@else.test", "dan@else.test")
    assert main(["--recipient", "bob@*"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{ident} returned to <ann@example.org> in ")
    assert out.endswith("; 2 other recipients stay\n")
    rows = waiting(store)[ident].rows
    assert [(str(row.recipient.forward_path), row.owner, row.attempts) for row in rows] == [
        ("cat@example.net", None, 0),
        ("dan@else.test", None, 0),
    ]


def test_the_persons_words_are_in_the_report(url, store, capsys):
    ident = put(store)
    defer(url)
    assert main([ident, "--reason", " Zweigstelle\t geschlossen: süß\x1b[2J "]) == 0
    (entry,) = waiting(store).values()
    parsed = email.message_from_bytes(store.content(entry.message.ident).read(), policy=email.policy.default)
    words, status, _ = parsed.iter_parts()
    assert "    > Zweigstelle geschlossen: süß [2J" in words.get_content().splitlines()
    (fields,) = status.get_payload()[1:]
    assert fields["Diagnostic-Code"] == f"smtp; {BUSY}"
    assert fields["Status"] == "4.2.0"
    assert "Zweigstelle" not in status.as_string()


def test_the_persons_words_are_in_the_log(store, capsys, monkeypatch):
    heard = []
    monkeypatch.setattr(
        "mether.setup.logs.to_syslog", lambda config: event.sinks.append(lambda *one: heard.append(one))
    )
    monkeypatch.setattr(event, "sinks", [])
    ident = put(store)
    assert main([ident, "--reason", "closed"]) == 0
    assert [name for name, _ in heard] == ["noted", "failed", "reported", "removed"]
    assert heard[0][1] == {"queue_id": ident, "what": "returned by a person: closed"}
    assert {fields["queue_id"] for _, fields in heard} == {ident}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("gone", "gone"),
        ("two\r\nlines", "two lines"),
        ("a\u202eb\x7fc", "a b c"),
        ("\u0646\u0645\u06cc\u200c\u062e", "\u0646\u0645\u06cc\u200c\u062e"),
        ("x" * 255, "x" * 255),
    ],
)
def test_words_on_one_line_without_controls(given, text):
    from mether.programs.options import parse
    from mether.programs.returnsmtpmail import PROGRAM

    assert returns.remark(parse(PROGRAM, ["--reason", given])) == text


def test_held_where_nobody_can_be_told(store, config, capsys):
    """undeliverable_reports = "hold": the message stays, for a person; and stays so when said again."""
    orphan = put(store, sender="")
    assert main(["-C", config("hold"), "--all", "--reason", "too late"]) == 0
    out = capsys.readouterr().out
    why = f"cannot be returned, as nobody can be told: {UNTRIED} (too late)"
    assert out == f"{orphan} held: {why}\n"
    (entry,) = waiting(store).values()
    assert (entry.message.hold, entry.status, entry.rows[0].attempts) == (why, "held", 0)
    assert main(["-C", config("hold"), orphan]) == 0
    assert capsys.readouterr().out == f"{orphan} held: {why}\n"
    assert main(["-C", config("drop"), orphan]) == 0
    assert waiting(store) == {}


def test_a_sender_behind_whom_is_nobody_is_not_said_to_be_told(store, tmp_path, capsys):
    """The postmaster is."""
    path = tmp_path / "m.toml"
    nobody = '[[route]]\ndomains = ["nobody.test"]\ndiscard = true\n'
    path.write_text(CONFIG.format(choice="postmaster").replace("[[route]]", f"{nobody}[[route]]", 1))
    ident = put(store, sender="gone@nobody.test")
    assert main(["-C", str(path), "-n", ident]) == 0
    assert "would be shown to the postmaster: <gone@nobody.test> cannot be told" in capsys.readouterr().out
    assert main(["-C", str(path), ident]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{ident} could not be returned to <gone@nobody.test>; shown to the postmaster in ")


def test_dry_run_says_what_the_run_does(url, store, config, capsys):
    put(store, "bob@example.net", "dan@else.test")
    defer(url)
    put(store, sender="")
    put(store, notify="NEVER")
    argv = ["-C", config(), "--recipient", "*@example.net", "--json"]
    assert main([*argv, "-n"]) == 0
    dry = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    before = {ident: len(entry.rows) for ident, entry in waiting(store).items()}
    assert sum(before.values()) == 4
    assert main(argv) == 0
    wet = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["result"] for one in wet] == ["returned", "notified", "removed"]
    assert [one["dry_run"] for one in dry] == [True] * 3
    for one in (*dry, *wet):
        one.pop("reports", None)
        del one["dry_run"]
    assert dry == wet
    assert wet[0]["recipients"] == [
        {
            "address": "bob@example.net",
            "transport": "smtp",
            "next_hop": "example.net",
            "reason": str(BUSY),
            "status": "4.2.0",
        }
    ]
    assert wet[0]["other_recipients"] == 1


def test_dry_run_writes_nothing(url, store, tmp_path, capsys):
    put(store)
    store.close()

    def files():
        found = {}
        for folder, _, names in os.walk(tmp_path / "spool"):
            for name in names:
                path = os.path.join(folder, name)
                if not name.endswith(("-shm", "-wal")):
                    found[path] = Path(path).read_bytes()
        return found

    before = files()
    assert main(["--all", "-n"]) == 0
    assert "would be returned" in capsys.readouterr().out
    assert files() == before


def test_what_is_tried_is_left_and_the_rest_of_the_message_returned(store, capsys):
    if store.single_runner:
        pytest.skip("one process works it")
    ident = put(store, "bob@example.net", "dan@else.test")
    claims = store.claim(1, NOW + 1)
    assert len(claims) == 1
    store.renew(NOW + 600, NOW)
    tried = claims[0].pending[0].recipient.forward_path
    assert main(["-n", ident]) == 0
    out = capsys.readouterr().out
    assert f"{tried}: being tried, and left alone" in out
    assert out.endswith("1 to the sender; 1 being tried, and left alone\n")
    assert main([ident]) == 75
    out, err = capsys.readouterr()
    assert out.startswith(f"{ident} returned to <ann@example.org> in ")
    assert err == (
        f"returnsmtpmail: {ident}: <{tried}> being tried at this moment, and not returned\n"
        if len(waiting(store)[ident].rows) > 1
        else f"returnsmtpmail: {ident}: it is being tried at this moment, and was not returned\n"
    )
    store.release(claims)
    assert [row.recipient.forward_path for row in waiting(store)[ident].rows] == [tried]


def test_suspects_are_returned_one_after_the_other(url, store, capsys):
    """What may have been delivered is claimed one at a time; all of it is returned in one run."""
    if store.single_runner:
        pytest.skip("one process works it")
    idents = [put(store, "bob@example.net", "cat@example.net") for _ in range(4)]
    dead = open_store(url, now=NOW)
    assert len(dead.claim(9, NOW + 1)) == 4
    dead._spool.life.drop()  # as the kernel does when its process is killed
    assert main(["--recipient", "bob@*"]) == 0
    assert returned(capsys.readouterr().out) == idents
    for ident in idents:
        assert [row.suspect for row in waiting(store)[ident].rows] == [True]


def interrupted_after(monkeypatch, number, batches, do):
    """Have `do` called when that many batches were settled."""
    real, left = returning.give_back, [batches]

    def counted(*args, **named):
        answers = real(*args, **named)
        left[0] -= 1
        if left[0] == 0:
            do()
        return answers

    monkeypatch.setattr(returning, "give_back", counted)


def test_an_interrupt_ends_it_between_two_batches(store, capsys, monkeypatch):
    idents = [put(store) for _ in range(7)]
    with monkeypatch.context() as patched:
        interrupted_after(patched, 2, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert main(["--all"]) == 130
    out, err = capsys.readouterr()
    assert returned(out) == idents[:4]
    assert err == "returnsmtpmail: interrupted; 4 returned, and the rest is as it was\n"
    assert sorted(set(waiting(store)) & set(idents)) == idents[4:]
    assert all(row.owner is None for entry in waiting(store).values() for row in entry.rows)
    assert main(["--sender", "ann@*"]) == 0
    assert returned(capsys.readouterr().out) == idents[4:]
    assert senders(store) == [None] * 7


def test_a_reader_that_went_away_ends_it_before_the_next_batch(store, capsys, monkeypatch):
    idents = [put(store) for _ in range(5)]
    gone = iter([False, False, True])
    monkeypatch.setattr(returns_batch, "nobody_reads", lambda: next(gone))
    monkeypatch.setattr("mether.programs.errors.nobody_reads", lambda: True)
    monkeypatch.setattr("mether.programs.errors.silence", lambda: None)
    assert main(["--all"]) == 141
    assert returned(capsys.readouterr().out) == idents[:4]
    assert sorted(set(waiting(store)) & set(idents)) == idents[4:]


def test_one_that_cannot_be_settled_holds_up_no_other(url, store, capsys, monkeypatch):
    idents = [put(store) for _ in range(4)]
    kind = type(store)
    real = kind.apply

    def apply(self, drafts=(), settlements=(), hops=(), *, now):
        if any(one.claim.message.ident == idents[1] for one in settlements):
            raise StoreError("it does not fit")
        return real(self, drafts, settlements, hops, now=now)

    monkeypatch.setattr(kind, "apply", apply)
    assert main(["--all"]) == 75
    out, err = capsys.readouterr()
    assert returned(out) == [idents[0], *idents[2:]]
    assert err == f"returnsmtpmail: {idents[1]}: it does not fit\n"
    assert waiting(store)[idents[1]].rows[0].owner is None


def test_a_full_disk_ends_it_and_what_was_done_is_told(store, capsys, monkeypatch):
    idents = [put(store) for _ in range(4)]
    kind = type(store)
    real = kind.apply

    def apply(self, drafts=(), settlements=(), hops=(), *, now):
        if any(one.claim.message.ident == idents[2] for one in settlements):
            raise NoSpace("the disk is full")
        return real(self, drafts, settlements, hops, now=now)

    monkeypatch.setattr(kind, "apply", apply)
    assert main(["--all"]) == 75
    out, err = capsys.readouterr()
    assert returned(out) == idents[:2]
    assert err == "returnsmtpmail: the disk is full\n"
    assert sorted(set(waiting(store)) & set(idents)) == idents[2:]


def test_a_report_that_cannot_be_written_keeps_its_message(store, capsys, monkeypatch):
    idents = [put(store), put(store)]
    from mether.runner.notify import Reporter

    real = Reporter.reports

    def reports(self, claim, *args, **named):
        if claim.message.ident == idents[0]:
            raise ValueError("odd")
        return real(self, claim, *args, **named)

    monkeypatch.setattr(Reporter, "reports", reports)
    assert main(["--all"]) == 75
    out, err = capsys.readouterr()
    assert returned(out) == idents[1:]
    assert err == f"returnsmtpmail: {idents[0]}: a report cannot be written: ValueError('odd')\n"
    assert idents[0] in waiting(store)


def paced(store, count, *, age=0.0):
    """Reports that wait for their hour."""
    return [put(store, "ann@example.org", sender="", age=age, release_at=NOW + 1800) for _ in range(count)]


@pytest.mark.parametrize("argv", [["--all"], ["--sender", "*"], ["--recipient", "ann@*"]])
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_reports_that_wait_for_their_hour_are_left_alone_and_told(argv, json, store, config, capsys):
    """What a first run says, a second one does not take back."""
    kept = paced(store, 9)
    for dry, were in ([["-n"], "would be"], [[], "were"]):
        put(store, "ann@example.org")
        assert main(["-C", config("drop"), *argv, *json, *dry]) == 0
        out, err = capsys.readouterr()
        assert not any(ident in out for ident in kept)
        told = f"9 reports wait for another hour, and {were} left alone; name what you mean by its id"
        assert err == f"returnsmtpmail: {told}\n"
    assert set(kept) < set(waiting(store))


def test_one_report_that_waits_for_its_hour_is_returned_where_it_is_named(store, config, capsys):
    one, other = paced(store, 2)
    assert main(["-C", config("drop"), one]) == 0
    assert capsys.readouterr() == (f"{one} removed; nobody is to be told\n", "")
    assert list(waiting(store)) == [other]


def test_a_second_run_loses_no_report_of_the_first(store, tmp_path, config, capsys):
    path = config("drop")
    with open(path, "a") as file:
        file.write("[reports]\nhourly = 2\n")
    for _ in range(5):
        put(store)
    assert main(["-C", path, "--all"]) == 0
    late = [ident for ident, one in waiting(store).items() if one.message.release_at]
    assert len(late) == 3
    assert main(["-C", path, "--all"]) == 0
    assert "3 reports wait" in capsys.readouterr().err
    assert sorted(waiting(store)) == sorted(late)


@pytest.mark.parametrize("argv", [["--next-hop", "else.test"], ["--sender", "b@*", "--json"]])
def test_that_nothing_matches_is_said(argv, store, capsys):
    ident = put(store)
    assert main(argv) == 0
    assert capsys.readouterr() == ("", "returnsmtpmail: no message matches\n")
    assert main([ident, *argv]) == 0
    assert capsys.readouterr() == ("", "returnsmtpmail: no message matches\n")
    assert main(["-n", *argv]) == 0
    assert capsys.readouterr().err == "returnsmtpmail: no message matches\n"


def test_what_is_run_by_a_clock_keeps_silent_where_nothing_matches(store, capsys):
    put(store)
    assert cleansmtpq.main([]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("argv", [["--all"], ["--all", "-n"], ["--sender", "ann@*", "--json"]])
def test_who_may_not_use_the_queue_is_told_so(argv, store, tmp_path, capsys):
    ident = put(store)
    with forbidden(str(tmp_path / "spool")):
        assert main(argv) == 77
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(": Permission denied\n")
    assert err.count("\n") == 1
    assert list(waiting(store)) == [ident]


def test_a_queue_of_plain_files_that_is_being_worked(store, capsys):
    """It says what to do; a dry run needs nothing of the kind."""
    if not store.single_runner:
        pytest.skip("any number of processes work it")
    ident = put(store)
    store.release(store.claim(1, NOW + 1))
    assert main(["--all", "-n"]) == 0
    assert "1 to the sender" in capsys.readouterr().out
    assert main(["--all"]) == 75
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(
        f" is being run by another process ({os.getpid()}); stop it first, or wait for its end\n"
    )
    assert list(waiting(store)) == [ident]


def test_no_queue_is_one_line(url, capsys):
    assert main(["--all"]) == 66
    assert capsys.readouterr().err.startswith("returnsmtpmail: there is no queue in ")
