"""``smtpq explain``: where a recipient goes, as the configuration has it, and what becomes of that."""

import json

import pytest
from queues import NOW, put

from mether.outcome import Route
from mether.programs.smtpq import main
from mether.queue.selection import Filter, Move

FILE = """
[service]
hostname = "mx.example.com"
postmaster = "postmaster@here.test"

[[route]]
domains = ["here.test"]
maildir = "/nowhere/{user}"

[[route]]
name = "night"
domains = ["example.net"]
smtp = ["[192.0.2.7]:2525", "[192.0.2.8]"]
tls = "encrypt"
"""


@pytest.fixture
def file(tmp_path, url, monkeypatch):
    path = tmp_path / "mether.toml"
    path.write_text(FILE)
    monkeypatch.setenv("METHER_CONFIG", str(path))
    return path


def explained(capsys, *argv):
    assert main(["explain", "--no-dns", *argv]) == 0
    return capsys.readouterr().out


def move(store, route):
    store.change(Filter(), "move", now=NOW, move=Move(route))


def test_the_rule_with_its_place_the_targets_tls_and_login(store, file, capsys):
    ident = put(store)
    move(store, Route("smtp", "[192.0.2.7]:2525,[192.0.2.8]", via="night"))
    text = explained(capsys, ident)
    assert f"  by rule       night, at {file}:" in text
    assert text.index("192.0.2.7") < text.index("192.0.2.8")
    assert "  TLS           encrypt\n" in text
    assert "  pinned        " in text
    facts = json.loads(explained(capsys, "--json", ident))
    assert facts["rule"] == facts["via"] == "night"
    assert [one["tls"] for one in facts["targets"]] == ["encrypt"] * 2
    assert (facts["pinned"], facts["changes"]) == (True, None)


def test_addresses_come_in_the_order_in_which_they_are_tried(store, file, capsys):
    """Without a name there is nothing to ask the DNS for."""
    ident = put(store)
    move(store, Route("smtp", "[192.0.2.7]:2525,[192.0.2.8]", via="night"))
    assert main(["explain", ident]) == 0
    text = capsys.readouterr().out
    assert "port 2525: 192.0.2.7" in text
    assert "port 25: 192.0.2.8" in text


def test_what_the_rules_will_change_is_said(store, file, capsys):
    """The next hop in the queue is a cached decision."""
    ident = put(store)
    assert (
        f"  when due      goes to smtp:[192.0.2.7]:2525,[192.0.2.8] via night, by rule night at {file}:"
        in (explained(capsys, ident))
    )


def test_a_route_that_is_gone_is_said(store, file, capsys):
    ident = put(store)
    move(store, Route("smtp", "relay.test", via="gone"))
    assert "  when due      waits: the route 'gone' is not in the configuration" in explained(capsys, ident)


def test_what_is_delivered_here_has_no_host(store, file, capsys):
    ident = put(store, "ann@here.test")
    move(store, Route("maildir", "here.test"))
    text = explained(capsys, ident)
    assert "next hop      maildir:here.test" in text
    assert "TLS" not in text


def test_under_which_addresses_it_leaves(store, file, capsys):
    file.write_text(f'{FILE}rewrite = {{ "ann@example.org" = "Ann.Lee@lee.test" }}\n')
    ident = put(store)
    move(store, Route("smtp", "[192.0.2.7]:2525,[192.0.2.8]", via="night"))
    text = explained(capsys, ident)
    assert "  leaves from   <Ann.Lee@lee.test>\n" in text
    assert "  with From     Ann.Lee@lee.test\n" in text
    assert json.loads(explained(capsys, "--json", ident))["leaves"]["recipient"] == "bob@example.net"


def test_an_address_on_the_suppression_list(store, file, capsys, url):
    from mail import address

    from mether.queue.open import parted
    from mether.queue.suppressed import Suppressions
    from mether.queue.suppressed_row import Suppressed

    ident = put(store)
    move(store, Route("smtp", "[192.0.2.7]:2525,[192.0.2.8]", via="night"))
    (entry,) = store.entries(Filter())
    path = entry.rows[0].recipient.forward_path
    known = Suppressions(parted(url)[1], create=True)
    known.put([Suppressed(address(str(path)), source="person", since=NOW, reason="asked for it")])
    known.close()
    assert "  not sent      550 5.7.1 suppressed address: " in explained(capsys, ident)
    assert "asked for it" in json.loads(explained(capsys, "--json", ident))["suppressed"]
