"""``smtpq reroute``: where a person sends what waits."""

import json

import pytest
from queues import NOW, put

from mether.outcome import Route
from mether.programs.smtpq import main
from mether.queue.selection import Filter

FILE = """
[service]
hostname = "mx.example.com"
postmaster = "postmaster@here.test"

[[route]]
domains = ["here.test"]
maildir = "/nowhere/{user}"

[[route]]
domains = ["by-mx.test"]
mx = true

[[route]]
domains = ["relayed.test"]
smtp = "relay.example.net:587"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "mether.toml"
    path.write_text(FILE)
    monkeypatch.setenv("METHER_CONFIG", str(path))
    return path


def run(capsys, *argv):
    assert main(["reroute", *argv]) == 0
    return capsys.readouterr().out


def routes(store):
    return [(str(row.route), row.pinned) for entry in store.entries(Filter()) for row in entry.rows]


@pytest.mark.parametrize(
    ("name", "route", "words"),
    [
        ("[192.0.2.9]:2525", "smtp:[192.0.2.9]:2525", "to smtp:[192.0.2.9]:2525"),
        (
            "[192.0.2.9],[192.0.2.8]:26",
            "smtp:[192.0.2.9],[192.0.2.8]:26",
            "to smtp:[192.0.2.9],[192.0.2.8]:26",
        ),
        ("lmtp:unix:/run/x", "lmtp:unix:/run/x", "to lmtp:unix:/run/x"),
        ("mx", "smtp:example.net", "by the MX of each recipient's domain"),
        ("other.example", "smtp:other.example", "to smtp:other.example"),
        ("here.test", "maildir:here.test", "to maildir:here.test (route 'here.test' at mether.toml:6)"),
        ("maildir:here.test", "maildir:here.test", "to maildir:here.test"),
        ("relayed.test", "smtp:relay.example.net:587", "to smtp:relay.example.net:587 (route"),
        ("smtp:relayed.test", "smtp:relayed.test", "to smtp:relayed.test"),
        ("by-mx.test", "smtp:example.net", "by the MX of each recipient's domain (route"),
    ],
)
def test_the_next_hop_may_be_named_in_each_way(store, file, capsys, name, route, words):
    put(store)
    assert run(capsys, "-n", name, "--all").startswith("1 message would go ")
    assert routes(store) == [("smtp:example.net", False)]
    said = run(capsys, name, "--all")
    assert words.replace(" at mether.toml:6", "").rstrip(")") in said.replace(f" at {file}:6", "")
    assert routes(store) == [(route, True)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("maildir:elsewhere", "no such maildir route"),
        ("a b", "a b"),
        ("[192.0.2.999]", "192.0.2.999"),
    ],
)
def test_what_is_no_next_hop_moves_nothing(store, file, capsys, name, said):
    put(store)
    assert main(["reroute", name, "--all"]) == 64
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
    assert routes(store) == [("smtp:example.net", False)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sparr", "no route has the name 'sparr' (did you mean spare?); a host of that name is smtp:sparr"),
        ("nosuchhost-x", "no route has the name 'nosuchhost-x', and no host in the hosts file"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_a_bare_name_that_is_nothing_known_moves_nothing(store, file, capsys, name, said, dry):
    """It is a route's name with a slip of the pen, and the queue would go to a host that does not exist."""
    file.write_text(f'{FILE}\n[[route]]\nname = "spare"\ndomains = ["x.test"]\nsmtp = "[192.0.2.9]"\n')
    put(store)
    assert main(["reroute", *(["-n"] if dry else []), name, "--all"]) == 64
    assert said in capsys.readouterr().err
    assert routes(store) == [("smtp:example.net", False)]
    assert run(capsys, f"smtp:{name}", "--all") == f"1 message goes to smtp:{name}\n"
    assert run(capsys, "localhost", "--all") == "1 message goes to smtp:localhost\n"


def test_only_the_recipients_that_match_are_moved(store, capsys):
    put(store, "a@one.test", "b@two.test")
    assert run(capsys, "[192.0.2.9]", "--next-hop", "one.test") == "1 message goes to smtp:[192.0.2.9]\n"
    assert routes(store) == [("smtp:[192.0.2.9]", True), ("smtp:two.test", False)]


def test_what_is_moved_is_due_and_can_be_taken_back(store, capsys):
    ident = put(store)
    run(capsys, "[192.0.2.9]", ident)
    assert run(capsys, "--rules", ident) == "1 message goes by the rules, pinned no more\n"
    assert routes(store) == [("smtp:[192.0.2.9]", False)], "it is decided again when it is due"
    assert run(capsys, "mx", "--sender", "nobody@*").startswith("0 messages go ")


def test_what_is_being_tried_goes_there_afterwards(store, capsys):
    put(store), put(store, "x@other.test")
    (claim, _) = store.claim(2, NOW)
    assert run(capsys, "[192.0.2.9]", "--all") == (
        "2 messages go to smtp:[192.0.2.9], 2 of them as soon as the present attempt can end\n"
    )
    assert main(["show", claim.message.ident]) == 0
    assert "  then     sent to smtp:[192.0.2.9], as soon as" in capsys.readouterr().out
    assert main(["--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[0])
    assert facts["recipients"][0]["moved_to"] == "smtp:[192.0.2.9]"
    store.release([claim])
    assert ("smtp:[192.0.2.9]", True) in routes(store)


def test_a_rule_whose_connections_are_its_own_is_shown_by_its_name(store, capsys):
    """Two next hops at one host are told apart wherever they are shown, and chosen by that name."""
    from mether.queue.selection import Move

    ident = put(store)
    store.change(Filter(), "move", now=NOW, move=Move(Route("smtp", "relay.test", via="night")))
    store.suspend([Route("smtp", "relay.test", via="night")], reason="later", until=None)

    def said(*argv):
        assert main(list(argv)) == 0
        return capsys.readouterr().out

    assert "smtp:relay.test via night" in said("show", ident)
    assert "by smtp:relay.test via night" in said("explain", "--no-dns", ident)
    assert "smtp:relay.test via night" in said("hops")
    assert "smtp:relay.test via night" in said("shape")
    assert "smtp:relay.test via night" in said("top", "--once", "--interval", "100ms")
    for verb in ("hops", "shape", "explain", "list"):
        text = said(verb, "--json", *(["--no-dns", ident] if verb == "explain" else []))
        assert '"via": "night"' in text, verb
    assert ident in said("list", "--next-hop", "night")
    assert "smtp:relay.test via night" in said("resume", "night")
