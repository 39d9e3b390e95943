"""Routes, attempts and outcomes: names and words, no more."""

from __future__ import annotations

import pytest

from mether.outcome import DONE, Attempt, Outcome, Route, mta, mta_name, of_words
from mether.reply import Reply, from_text


def test_a_route_is_a_key() -> None:
    assert Route("smtp", "mx.example") == Route("smtp", "mx.example")
    assert len({Route("smtp", "a"), Route("smtp", "a"), Route("lmtp", "a"), Route("smtp", "a", "helo")}) == 3
    assert Route("smtp", "a") != "smtp:a"
    assert str(Route("smtp", "a", "helo")) == "smtp:a"


@pytest.mark.parametrize(
    ("action", "reply", "status"),
    [
        ("failed", Reply(550, "5.1.1", "no"), "5.1.1"),
        ("delayed", Reply(421, None, "later"), "4.0.0"),
        ("failed", Reply(550, None, "no"), "5.0.0"),
        ("relayed", Reply(250, None, "ok"), "2.0.0"),
        ("delivered", Reply(250, None, "ok"), "2.0.0"),
        ("expanded", Reply(250, "2.1.5", "ok"), "2.1.5"),
    ],
)
def test_the_status_of_a_report(action: str, reply: Reply, status: str) -> None:
    """RFC 3464 section 2.3.4 wants one whatever the server said."""
    assert Outcome(0, action, reply).status == status  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "address", "port", "shown"),
    [
        ("mx.example", "192.0.2.1", 25, "mx.example[192.0.2.1]:25"),
        ("mx.example", "2001:db8::1", 2525, "mx.example[2001:db8::1]:2525"),
        ("[192.0.2.1]", "192.0.2.1", 25, "[192.0.2.1]:25"),
        ("192.0.2.1", "192.0.2.1", 25, "[192.0.2.1]:25"),
        ("/run/lmtp[1]", "/run/lmtp[1]", 0, "/run/lmtp[1]"),
    ],
)
def test_a_host_has_its_address_and_port_beside_it(name: str, address: str, port: int, shown: str) -> None:
    assert mta(name, address, port) == shown
    assert mta_name(shown) in (name, f"[{name}]")


def test_the_name_alone_of_what_was_written_before_there_were_ports() -> None:
    assert mta_name("mx.example [192.0.2.1]") == mta_name("mx.example") == "mx.example"
    assert mta_name("") == ""


@pytest.mark.parametrize("host", ["mx.example[192.0.2.1]:25", "[192.0.2.1]:25", "/run/l m", "mx [192.0.2.1]"])
@pytest.mark.parametrize("text", ["421 4.7.0 Too much mail", "421", "421 evil said: 451 4.4.1 refused"])
def test_words_are_written_with_who_said_them(host: str, text: str) -> None:
    reply = from_text(text)
    assert reply is not None
    said = Outcome(0, "delayed", reply, remote_mta=host)
    assert said.words == f"{host} said: {text}"
    assert of_words(said.words) == (host, reply)
    ours = Outcome(0, "delayed", reply, remote_mta=host, said=False)
    assert ours.words == text
    assert of_words(ours.words) == ("", reply)


@pytest.mark.parametrize("text", ["", "no route", "mx said: nothing", " said: "])
def test_what_is_no_reply_says_nothing(text: str) -> None:
    assert of_words(text)[1] is None


def test_what_is_done() -> None:
    assert set(DONE) == {"delivered", "relayed", "expanded"}


def test_an_attempt_is_one_message_at_one_next_hop() -> None:
    outcome = Outcome(3, "relayed", Reply(250, None, "ok"), remote_mta="mx.example", at=2.0)
    attempt = Attempt(Route("smtp", "mx.example"), [outcome], started=1.0, seconds=1.0)
    assert attempt.outcomes == [outcome] and not attempt.uncertain
    assert (outcome.scope, outcome.uncertain) == ("recipient", False)
    assert "relayed" in repr(outcome)


def test_one_like_another_differs_in_what_is_given_alone() -> None:
    one = Outcome(
        3,
        "failed",
        Reply(550, None, "no"),
        scope="host",
        remote_mta="mx.example",
        said=False,
        at=2.0,
        uncertain=True,
        notifies=True,
        traced=True,
    )

    def values(outcome: Outcome) -> dict[str, object]:
        return {name: getattr(outcome, name) for name in Outcome.__slots__}

    assert values(one.like()) == values(one)
    given = {"recipient": 0, "action": "delayed", "at": 0.0, "uncertain": False}
    assert values(one.like(recipient=0, action="delayed", at=0.0, uncertain=False)) == values(one) | given
    assert values(one.certain()) == values(one) | {"uncertain": False}
