"""``smtpq`` on real queues: what it lists, shows, prints and changes."""

import json
import os
import subprocess
import sys
import time

import pytest
from denied import forbidden
from queues import NOW, defer, put

from mether.programs import sendmail, smtpq_list
from mether.programs.smtpq import main
from mether.queue.ident import new_id
from mether.queue.store import Filter


def idents(store, **filter):
    return [entry.message.ident for entry in store.entries(Filter(**filter))]


def run(capsys, *argv):
    status = main(list(argv))
    out, err = capsys.readouterr()
    assert err == "", err
    assert status == 0
    return out


def test_an_empty_queue(store, capsys):
    assert run(capsys) == "Mail queue is empty\n"
    assert run(capsys, "--json") == ""


def test_the_listing_has_the_words_of_mailq(url, store, capsys):
    first = put(store, "bob@example.net", "cat@example.net")
    defer(url)
    second = put(store, sender="")
    store.change(Filter(idents=frozenset([second])), "hold", now=NOW, reason="on suspicion")
    text = run(capsys)
    assert text.splitlines()[0].startswith("-Queue ID-")
    assert f"{first} " in text
    assert (
        "(451 4.2.0 mailbox busy)\n" + " " * 48 + "bob@example.net\n" + " " * 48 + "cat@example.net\n" in text
    )
    assert f"{second}! " in text
    assert "MAILER-DAEMON" in text
    assert "(held: on suspicion)" in text
    assert text.endswith("-- 1 Kbytes in 2 Requests.\n")


def test_json_has_the_names_of_postqueue(url, store, capsys):
    ident = put(store)
    defer(url)
    (record,) = map(json.loads, run(capsys, "--json").splitlines())
    assert record["queue_name"] == "deferred"
    assert record["queue_id"] == ident
    assert record["arrival_time"] == pytest.approx(NOW, abs=2)
    assert record["message_size"] == 48
    assert record["forced_expire"] is False
    assert record["sender"] == "ann@example.org"
    (recipient,) = record["recipients"]
    assert recipient["address"] == "bob@example.net"
    assert recipient["delay_reason"] == "451 4.2.0 mailbox busy"
    assert recipient["next_attempt"] == pytest.approx(NOW + 300)


@pytest.mark.parametrize(
    "argv",
    [
        ("--sender", "ANN@*"),
        ("--recipient", "bob@*"),
        ("--next-hop", "example.net"),
        ("--older", "2d"),
        ("--status", "deferred"),
    ],
)
def test_a_filter_narrows_the_listing(url, store, capsys, argv):
    wanted = put(store, age=3 * 86400)
    defer(url)
    put(store, "x@else.test", sender="")
    listed = [json.loads(line)["queue_id"] for line in run(capsys, "--json", *argv).splitlines()]
    assert listed == [wanted]


def test_a_filter_that_matches_nothing_is_no_empty_queue(store, capsys, monkeypatch):
    assert run(capsys, "--sender", "nobody@*") == "Mail queue is empty\n"
    put(store)
    put(store)
    assert run(capsys, "--sender", "nobody@*") == "no message matches (2 queued)\n"
    monkeypatch.setattr(smtpq_list, "COUNTED", 1)
    assert run(capsys, "--sender", "nobody@*") == "no message matches (1 or more queued)\n"
    assert run(capsys, "--json", "--sender", "nobody@*") == ""


def test_a_queue_that_this_user_may_not_read(url, store, capsys):
    """77, and no word of an empty queue."""
    put(store)
    assert "1 Request" in run(capsys)
    path = url.partition(":")[2]
    with forbidden(path):
        assert main([]) == 77
        assert sendmail.mailq([]) == 77
    out, err = capsys.readouterr()
    assert out == ""
    words = f"the queue {path} cannot be read: Permission denied\n"
    assert err == f"smtpq: {words}mailq: {words}"


def test_ids_alone_are_listed_in_any_writing(store, capsys):
    one, two = put(store), put(store)
    put(store)
    out = run(capsys, "--json", one.lower(), f"queue/{two}.sh")
    assert [json.loads(line)["queue_id"] for line in out.splitlines()] == sorted([one, two])


def test_show_tells_everything_and_why_the_next_attempt_is_when_it_is(url, store, capsys):
    ident = put(store, "bob@example.net", body="8BITMIME")
    defer(url, failures=3)
    text = run(capsys, "show", ident)
    for piece in (
        f"Message    {ident} (deferred)",
        "Sender     <ann@example.org>",
        "by ESMTP from c.test[192.0.2.1] (EHLO c.test)",
        "Parameters BODY=8BITMIME",
        "next hop smtp:example.net",
        "attempts 1",
        "last     delayed: 451 4.2.0 mailbox busy from mx.test[192.0.2.9]:25",
        "next     20",
        "delayed  bob@example.net: 451 4.2.0 mailbox busy",
    ):
        assert piece in text, text
    record = json.loads(run(capsys, "show", "--json", ident))
    assert record["recipients"][0]["next_try"] == pytest.approx(NOW + 7200)
    assert record["attempts"][0]["outcomes"][0]["action"] == "delayed"


def test_explain_tells_what_a_due_message_may_wait_for(store, capsys):
    one = put(store)
    text = run(capsys, "explain", "--no-dns", one)
    assert text == (
        f"{one} bob@example.net by smtp:example.net\n"
        "  next hop      smtp:example.net\n"
        "  TLS           may\n"
        "  login         none\n"
        "  now: it is due; but no process works this queue: smtpd or runsmtpq does\n"
    )
    put(store)
    store.claim(1, time.time())  # a process works it, and has one in hand
    idle = [entry.message.ident for entry in store.entries(Filter()) if entry.status == "fresh"]
    assert "as soon as there is room: 1 message being tried at this next hop now" in run(
        capsys, "explain", "--no-dns", *idle
    )


def test_explain_tells_what_is_in_the_way(url, store, capsys):
    one, two = put(store), put(store, "x@else.test")
    defer(url, failures=3)
    store.change(Filter(idents=frozenset([two])), "hold", now=NOW, reason="on suspicion")
    text = run(capsys, "explain", "--no-dns", one, two)
    assert (
        "  now: it waits: " in text
        and "451 4.2.0 mailbox busy" in text
        and ": it is due; but no process works this queue: " in text
    )
    assert "it stays: held: on suspicion; smtpq release lets it go on" in text
    first, second = map(json.loads, run(capsys, "explain", "--no-dns", "--json", one, two).splitlines())
    assert first["next_try"] == pytest.approx(NOW + 7200)
    assert (second["next_try"], second["steps"][0]["do"]) == (None, "hold")


def test_the_dialogue_of_the_last_failed_attempt_is_shown_when_asked_for(url, store, capsys):
    ident = put(store)
    defer(url, transcript="S: 220 mx.test\nC: EHLO me\nS: 451 busy\n")
    assert "EHLO me" not in run(capsys, "show", ident)
    assert "\n  S: 220 mx.test\n  C: EHLO me\n  S: 451 busy\n" in run(capsys, "show", "--transcript", ident)
    record = json.loads(run(capsys, "show", "--json", "--transcript", ident))
    assert record["attempts"][-1]["transcript"][1] == "C: EHLO me"
    other = put(store, "x@else.test")
    assert "Transcript of smtp:else.test: none; " in run(capsys, "show", "--transcript", other)


def test_cat_prints_the_content_with_the_line_ends_of_this_system(store, capfdbinary):
    ident = put(store, content=b"Subject: hi\r\n\r\n" + b"x" * 65519 + b"\r\n\xe9\r\n" * 3)
    assert main(["cat", ident]) == 0
    out = capfdbinary.readouterr().out
    assert out == b"Received: by mx.test; now\nSubject: hi\n\n" + b"x" * 65519 + b"\n\xe9\n" * 3


def test_export_prints_batch_smtp(store, capfdbinary):
    put(store, "bob@example.net", "cat@example.net", body="8BITMIME")
    put(store, sender="")
    assert main(["export", "--all"]) == 0
    lines = capfdbinary.readouterr().out.split(b"\r\n")
    assert lines[0].startswith(b"EHLO ")
    assert lines[1:10] == [
        b"MAIL FROM:<ann@example.org> SIZE=48 BODY=8BITMIME",
        b"RCPT TO:<bob@example.net>",
        b"RCPT TO:<cat@example.net>",
        b"DATA",
        b"Received: by mx.test; now",
        b"Subject: hi",
        b"",
        b"..dot",
        b".",
    ]
    assert lines[10] == b"MAIL FROM:<> SIZE=48"
    assert lines[-3:] == [b".", b"QUIT", b""]


def test_an_export_warns_of_what_is_held(store, capfd):
    """Batch SMTP cannot tell of it, so that it is delivered where it is read."""
    put(store)
    assert main(["export", "--all"]) == 0
    assert capfd.readouterr().err == ""
    put(store)
    store.change(Filter(idents=None), "hold", now=time.time(), reason="a look first")
    put(store)
    assert main(["export", "--all"]) == 0
    assert capfd.readouterr().err == (
        "smtpq: of these, 2 messages are held here, and are delivered where this is read\n"
    )
    assert main(["export", "--reason", "another"]) == 0
    assert capfd.readouterr().out.count("MAIL") == 0


@pytest.mark.parametrize("verb", ["retry", "shape"])
def test_a_reason_is_no_filter_where_nothing_is_held(store, capsys, verb):
    assert main([verb, "--reason", "x"]) == 64
    assert "--reason is for hold, suspend, list, release" in capsys.readouterr().err


def test_a_plain_export_names_what_it_leaves_out(store, capfd):
    put(store, sender="one@a.test", ret="HDRS"), put(store, requiretls=True)
    assert main(["export", "--plain", "--all"]) == 75
    out, err = capfd.readouterr()
    assert out.startswith("HELO ")
    assert "MAIL FROM:<one@a.test>\nRCPT TO:<bob@example.net>\n" in out.replace("\r", "")
    assert "REQUIRETLS" in err.splitlines()[0]
    assert "1 message could not be exported" in err


def damage(url, ident):
    """Spoil the content of a message of a directory spool."""
    kind, _, path = url.partition(":")
    if kind != "directory":
        pytest.skip("its files are the database's")
    os.unlink(os.path.join(path, "queue", f"{ident}.msg"))


def test_export_leaves_out_what_is_damaged_and_says_so(url, store, capfd):
    _, bad, _ = put(store, sender="one@a.test"), put(store), put(store, sender="two@a.test")
    damage(url, bad)
    assert main(["export", "--all"]) == 75
    out, err = capfd.readouterr()
    assert "<one@a.test>" in out and "<two@a.test>" in out and out.endswith("QUIT\r\n")
    assert out.count("MAIL FROM") == 2
    first, last = err.splitlines()
    assert first.startswith(f"smtpq: {bad} is not exported: ")
    assert last == "smtpq: 1 message could not be exported"


def test_check_says_nothing_of_a_sound_queue(store, capsys):
    put(store)
    assert run(capsys, "check") == ""


def test_check_names_what_is_damaged(url, store, capsys):
    put(store)
    bad = put(store)
    damage(url, bad)
    assert main(["check"]) == 75
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and bad in out
    assert err == "smtpq: 1 thing is wrong in the queue; mether fsck --repair saves what can be saved\n"


def test_hold_release_retry_and_remove(url, store, capsys):
    one, two = put(store), put(store, sender="x@y.test")
    assert run(capsys, "hold", one, "--reason", "a look") == "1 message held\n"
    assert idents(store, status="held") == [one]
    assert run(capsys, "release", "--all") == "1 message released; 1 is not held\n"
    assert idents(store, status="held") == []
    defer(url)
    assert store.claim(10, NOW) == []
    assert run(capsys, "retry", "--sender", "x@*") == "1 message made due\n"
    (claim,) = store.claim(10, time.time() + 1)
    assert claim.message.ident == two
    store.release([claim])
    assert run(capsys, "remove", "-n", one) == "1 message would be removed\n"
    assert run(capsys, "remove", one) == "1 message removed\n"
    assert idents(store) == [two]


def test_retry_wakes_a_working_process(store, capsys):
    put(store)
    store.claim(1, NOW)  # it works this queue
    assert store.renew(NOW + 60, NOW)
    assert not store.wait(0)
    run(capsys, "retry", "--all")
    assert store.wait(5)


def test_an_id_that_is_not_queued_is_told_and_the_others_are_done(store, capsys):
    ident, gone = put(store), new_id(NOW, 2)
    assert main(["hold", ident, gone]) == 66
    assert capsys.readouterr() == ("1 message held\n", f"smtpq: not in the queue: {gone}\n")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["shw"], "'shw' is neither a command nor a queue id (did you mean show?)"),
        (["show"], "show needs an ID"),
        (["show", "x"], "'x' is not a queue id"),
        (["remove"], "remove needs IDs, a filter, or --all"),
        (["export"], "export needs IDs, a filter, or --all"),
        (["hold", "--all", "--sender", "x"], "--all contradicts an ID or a filter"),
        (["cat", "--json", "0" * 13], "cat prints no JSON"),
        (
            ["retry", "--all", "--reason", "x"],
            "--reason is for hold, suspend, list, release, remove, export, reroute, not for retry",
        ),
        (
            ["check", "--all"],
            "--all is for list, export, reroute, hold, release, retry, remove, not for check",
        ),
        (["check", "x"], "check looks over the whole queue, and takes no 'x'"),
        (["check", "--next-hop", "x"], "check --next-hop needs --oldest, --deferred or --held"),
        (
            ["check", "--deferred", "2,1"],
            "--deferred: '2,1' is neither one limit nor WARN,CRIT, the smaller first",
        ),
        (["check", "--held", "x"], "--held: 'x' is not a whole number"),
        (["top", "--json"], "top prints no JSON"),
        (["top", "--interval", "1ms"], "--interval: at least 0.1s"),
        (["shape", "--top", "-1"], "--top: '-1' is not a whole number of at least 0"),
        (["explain"], "explain needs an ID"),
        (["suspend"], "suspend needs a NEXT-HOP"),
        (["reroute", "--all"], "reroute needs a NEXT-HOP, or --rules"),
        (["reroute", "mx"], "reroute needs IDs, a filter, or --all"),
        (["reroute", "--rules"], "reroute needs IDs, a filter, or --all"),
        (["reroute", "mx", "x"], "'x' is not a queue id"),
        (["hold", "--rules", "--all"], "--rules is for reroute, not for hold"),
        (["suspend", "x", "--for", "1h", "--until", "+1h"], "--until and --for exclude each other"),
        (["show", "--once", "0" * 13], "--once is for top, not for show"),
        (["list", "-n"], "--dry-run is for hold, release, retry, remove, reroute, not for list"),
        (
            ["--older", "3"],
            '--older: expected a duration such as "90s", "5m", "1h30m" or "5d": the units are s, m, h, d, w '
            "and ms, the larger first",
        ),
        (["--status", "lost"], "--status: 'lost' is not one of held, active, deferred, fresh"),
    ],
)
def test_a_wrong_argument_is_one_line(argv, text, capsys):
    assert main(argv) == 64
    assert capsys.readouterr().err == f"smtpq: {text}; try smtpq --help\n"


def test_a_queue_that_is_not_there(url, capsys):
    assert main([]) == 66
    path = url.partition(":")[2]
    assert capsys.readouterr().err == f"smtpq: there is no queue in {path}\n"


def test_what_names_no_queue_is_a_wrong_argument(url, capsys):
    assert main(["--spool", "sqlit:/x"]) == 64
    assert "names no queue" in capsys.readouterr().err


def test_a_reader_that_had_enough_is_no_noise(store, url):
    for _ in range(40):
        put(store, content=b"x" * 60000 + b"\r\n")
    with subprocess.Popen(
        [sys.executable, "-m", "mether.programs.smtpq", "export", "--all", "--spool", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    "argv",
    [
        ["suspend", "mx\udcff.test"],
        ["suspend", "example.net", "--reason", "moving\udcff"],
        ["suspend", "pipe:\udcff"],
        ["resume", "\udcff"],
        ["hops", "*\udcff"],
        ["check", "--next-hop", "\udcff", "--held", "1"],
        ["hold", "--all", "--reason", "\udcff"],
        ["shape", "--sender", "\udcff*"],
        ["--next-hop", "\udcff"],
        ["--recipient", "\udcff"],
    ],
)
def test_what_is_not_in_the_encoding_of_arguments_ends_in_one_line(store, capsys, argv):
    put(store)
    assert main(argv) == 64
    out, err = capsys.readouterr()
    assert out == "" and err.endswith("the text is not in the encoding of arguments; try smtpq --help\n")
