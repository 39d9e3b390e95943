"""Named messages go back to their senders, once, and leave the queue."""

import pytest
from queues import NOW, defer, put

from mether.programs.returnsmtpmail import main
from mether.queue.ident import new_id
from mether.queue.open import open_store
from mether.queue.store import Filter


def waiting(store):
    return {entry.message.ident: entry for entry in store.entries(Filter())}


def report(store, *, besides=()):
    """The one message in the queue besides those, and its content as text."""
    (ident,) = set(waiting(store)) - set(besides)
    entry = waiting(store)[ident]
    return entry, store.content(ident).read().decode()


def test_a_message_is_returned_with_the_last_reason(url, store, capsys):
    ident = put(store, content=b"Subject: precious\r\n\r\nhello\r\n")
    defer(url)
    other = put(store)
    assert main([ident]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    entry, text = report(store, besides=[other])
    assert out == f"{ident} returned to <ann@example.org> in {entry.message.ident}\n"
    assert entry.message.envelope.reverse_path is None  # RFC 5321 section 6.1
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["ann@example.org"]
    assert "mailbox busy" in text
    assert "Final-Recipient: rfc822;bob@example.net" in text
    assert "Action: failed" in text
    assert "Subject: precious" in text


def test_one_that_was_never_tried_says_so(store, capsys):
    ident = put(store)
    assert main([f"queue/{ident}.sh"]) == 0
    assert "returned by the postmaster" in report(store)[1]


def test_a_held_message_is_returned_too(store, capsys):
    ident = put(store)
    store.change(Filter(), "hold", now=NOW)
    assert main([ident]) == 0
    assert ident not in waiting(store)


@pytest.mark.parametrize("choice", ["postmaster", "drop"])
def test_a_message_without_a_sender_is_never_returned(store, capsys, tmp_path, choice):
    """RFC 5321 section 6.1: it goes to the postmaster or is dropped, as configured."""
    config = tmp_path / "m.toml"
    config.write_text(
        f'[service]\npostmaster = "pm@home.test"\nundeliverable_reports = "{choice}"\n'
        '[[route]]\ndomains = ["home.test"]\nmaildir = "mail/{user}"\n'
    )
    ident = put(store, sender="")
    assert main(["-C", str(config), ident]) == 0
    out = capsys.readouterr().out
    if choice == "drop":
        assert waiting(store) == {}
        assert out == f"{ident} removed; nobody is to be told\n"
    else:
        entry, _ = report(store)
        assert str(entry.rows[0].recipient.forward_path) == "pm@home.test"
        assert entry.rows[0].route.transport == "maildir"
        assert out == f"{ident} had no sender; shown to the postmaster in {entry.message.ident}\n"


def test_every_recipient_of_a_message_is_reported(store, capsys):
    ident = put(store, "bob@example.net", "cat@example.net", "dan@else.test")
    assert main([ident]) == 0
    texts = "".join(store.content(each).read().decode() for each in waiting(store))
    assert ident not in waiting(store)
    for address in ("bob@example.net", "cat@example.net", "dan@else.test"):
        assert texts.count(f"Final-Recipient: rfc822;{address}") == 1


def test_what_is_being_tried_is_left_alone(url, store, capsys):
    ident = put(store)
    (claim,) = store.claim(10, NOW + 1)
    assert store.renew(NOW + 600, NOW)
    assert main([ident]) == 75
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("returnsmtpmail: ")
    assert err.count("\n") == 1
    assert list(waiting(store)) == [ident]
    store.release([claim])
    store.close()
    assert main([ident]) == 0
    again = open_store(url, now=NOW)
    assert ident not in waiting(again)
    again.close()


def test_one_that_is_not_queued_is_told_and_the_others_returned(store, capsys):
    ident, gone = put(store), new_id(NOW, 3)
    assert main([gone, ident, ident]) == 66
    out, err = capsys.readouterr()
    assert out.startswith(f"{ident} returned to ")
    assert out.count("\n") == 1
    assert err == f"returnsmtpmail: {gone}: not in the queue\n"
    assert main([ident]) == 66  # and nobody gets a second report
    assert len(waiting(store)) == 1


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "expected IDs, a filter, or --all"),
        (["x.sh"], "'x.sh' is not a queue id"),
        ([""], "'' is not a queue id"),
        (["--all", "--sender", "*"], "--all contradicts an ID or a filter"),
        (["--next-hop", ""], "--next-hop is empty"),
        (["--recipient="], "--recipient is empty"),
        (["--all", "ID"], "'ID' is not a queue id"),
        (["--sender", "\udcff*"], "--sender: the text is not in the encoding of arguments"),
        (["--all", "--reason", "\udcff"], "--reason: the text is not in the encoding of arguments"),
        (["--all", "--reason", " \n\x1b"], "--reason says nothing"),
        (["--all", "--reason", "x" * 256], "--reason has 256 characters, and at most 255 are kept"),
    ],
)
def test_a_wrong_argument_is_one_line(argv, text, capsys):
    assert main(argv) == 64
    assert capsys.readouterr().err == f"returnsmtpmail: {text}; try returnsmtpmail --help\n"


def test_a_message_that_waits_for_its_release_is_returned_too(url, store, capsys):
    """EXT-2: it is not sent early; to return it is a person's decision."""
    ident = put(store, release_at=NOW + 86400)
    assert main([ident]) == 0
    assert ident not in waiting(store)
    assert "returned to <ann@example.org>" in capsys.readouterr().out
