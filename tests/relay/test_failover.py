"""For which replies the next host of a list is tried."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from clock import virtual
from mail import claim
from relays import Relay, listing, server
from script_server import CLOSE, FOR_EVER, ScriptServer

from mether.address import parse
from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.relay.failover import Failover, elsewhere
from mether.relay.manner import Manner
from mether.reply import Reply

HOST = "mx.example.net[192.0.2.1]:25"


@pytest.mark.parametrize(
    ("pattern", "code", "status", "taken"),
    [
        ("421", 421, "4.3.2", True),
        ("421", 421, "", True),
        ("421", 451, "4.2.1", False),
        ("4", 451, "4.3.2", True),
        ("45", 451, "", True),
        ("45", 421, "", False),
        ("4.7.", 451, "4.7.1", True),
        ("4.7", 451, "4.7.26", True),
        ("4.7.", 451, "4.71.1", False),
        ("4.7.", 451, "", False),
        ("4.", 450, "4.2.0", True),
        ("5.7.1", 550, "5.7.1", True),
        ("5.7.1", 550, "5.7.10", False),
        ("451 4.3.2", 451, "4.3.2", True),
        ("451 4.3.2", 452, "4.3.2", False),
        ("451 4.3.2", 451, "4.3.0", False),
        ("55 5.7.", 554, "5.7.26", True),
    ],
)
def test_a_pattern_is_the_beginning_of_code_and_status(
    pattern: str, code: int, status: str, taken: bool
) -> None:
    assert Failover([pattern]).takes(Reply(code, status, "text")) is taken


def test_any_pattern_will_do() -> None:
    known = Failover(["421", "4.7."])
    assert known.takes(Reply(451, "4.7.1", "x")) and known.takes(Reply(421, "", "x"))
    assert not known.takes(Reply(550, "5.1.1", "x"))
    assert known and not Failover() and not Failover().takes(Reply(421, "4.3.2", "x"))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "250",
        "2.",
        "4.7.1.",
        "4.7.1.2",
        "4..1",
        "4.7.x",
        "4511",
        "421 5.3.2",
        "421 ",
        " 4.3.2",
        "a",
        "x.y",
        "3",
    ],
)
def test_what_no_refusal_is_like(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected a reply code"):
        Failover([pattern])


def test_so_many_patterns_and_no_more() -> None:
    with pytest.raises(ValueError, match="at most 32"):
        Failover(["421"] * 33)


PATTERNS = Failover(["4.7.", "5.7.1"])


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta=HOST), True),
        (Outcome(0, "failed", Reply(550, "5.7.1", "x"), remote_mta=HOST, scope="transaction"), True),
        (Outcome(0, "failed", Reply(550, "5.1.1", "x"), remote_mta=HOST), False),
        (Outcome(0, "relayed", Reply(250, "2.0.0", "x"), remote_mta=HOST), False),
        (Outcome(0, "delayed", Reply(421, "4.3.2", "x"), remote_mta=HOST, scope="host"), True),
        (Outcome(0, "delayed", Reply(451, "4.4.2", "x"), remote_mta=HOST, scope="host", said=False), True),
    ],
)
def test_what_is_tried_at_the_next_host(outcome: Outcome, again: bool) -> None:
    assert elsewhere(outcome, PATTERNS) is again


def test_nothing_that_may_have_been_taken_is_tried_again() -> None:
    lost = Outcome(
        0, "delayed", Reply(451, "4.7.1", "x"), scope="transaction", remote_mta=HOST, uncertain=True
    )
    assert not elsewhere(lost, PATTERNS)


def test_only_what_a_host_said_counts() -> None:
    """A fault or refusal of our own is the same at every host."""
    ours = Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta="")
    assert not elsewhere(ours, PATTERNS)
    assert not elsewhere(Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta=HOST), None)


GREY = "451 4.7.1 greylisted"
FULL = "452 4.3.1 no space"
SPAM = "550 5.7.1 looks like spam"
MANNER = Manner(failover=Failover(["4.7.", "452", "5.7.1", "421"]))


def listed(*servers: ScriptServer, **more: Any) -> Relay:
    return Relay(*servers, route=listing(*servers), manner=MANNER, **more)


def many(count: int) -> Claim:
    return claim(*(f"u{number}@example.net" for number in range(count)))


@pytest.mark.parametrize(
    "trouble",
    [
        {"MAIL": [GREY, FOR_EVER]},
        {"MAIL": [SPAM, FOR_EVER]},
        {"RCPT": [GREY, FOR_EVER]},
        {"DATA": [FULL, FOR_EVER]},
        {".": [FULL, FOR_EVER]},
        {".": [SPAM, FOR_EVER]},
        {"MAIL": ["421 4.3.2 busy", FOR_EVER]},
        {".": ["421 4.3.2 busy", FOR_EVER]},
    ],
)
@pytest.mark.parametrize("offer", [("PIPELINING",), ()])
@virtual
async def test_the_next_host_is_tried_at_once(trouble: dict[str, list[str]], offer: tuple[str, ...]) -> None:
    first, second = await ScriptServer(offer=offer, **trouble).start(), await server()
    ((outcome,),) = await listed(first, second).send(claim())
    assert outcome.action == "relayed"
    assert outcome.remote_mta == f"mx1.example.net[127.0.0.1]:{second.port}"
    assert (len(first.sessions), len(second.messages)) == (1, 1)
    assert not any(one.content for one in first.messages)


@pytest.mark.parametrize("reply", ["451 4.3.2 later", "550 5.1.1 no such user"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
@virtual
async def test_other_replies_count_as_ever(verb: str, reply: str) -> None:
    """An answer is an answer: RFC 5321 section 5.1 does not let one shop around."""
    first, second = await server(**{verb: [reply]}), await server()
    ((outcome,),) = await listed(first, second).send(claim())
    assert outcome.action == ("delayed" if reply[0] == "4" else "failed")
    assert not second.sessions


@virtual
async def test_each_recipient_has_one_outcome_wherever_it_came_from() -> None:
    """Some are taken by the first host, one is refused there for good, the others are tried at the second."""
    replies = {
        "RCPT TO:<u1@example.net>": [GREY],
        "RCPT TO:<u2@example.net>": ["550 5.1.1 who?"],
        "RCPT TO:<u4@example.net>": [SPAM],
    }
    first, second = await server(**replies), await server(**{"RCPT TO:<u4@example.net>": ["550 5.1.1 who?"]})
    (outcomes,) = await listed(first, second).send(many(5))
    assert [one.action for one in outcomes] == ["relayed", "relayed", "failed", "relayed", "failed"]
    assert [one.remote_mta[:3] for one in outcomes] == ["mx0", "mx1", "mx0", "mx0", "mx1"]
    assert first.messages[0].recipients == ["u0@example.net", "u3@example.net"]
    assert second.messages[0].recipients == ["u1@example.net"]


@virtual
async def test_in_lmtp_each_recipient_has_its_reply_to_the_content() -> None:
    """LMT-2: those whose reply fails over go on, and nobody gets it twice."""
    first = await ScriptServer(lmtp=True, **{".": ["250 ok", FULL, "250 ok"]}).start()
    second = await ScriptServer(lmtp=True).start()
    names = ",".join(f"mx{n}.example.net:{one.port}" for n, one in enumerate((first, second)))
    relay = Relay(first, second, route=Route("lmtp", names), manner=MANNER)
    one = many(3)
    one.route = relay.hop.route
    (outcomes,) = await relay.send(one)
    assert [one.action for one in outcomes] == ["delivered"] * 3
    assert [one.recipients for one in first.messages] == [["u0@example.net"], ["u2@example.net"]]
    assert [one.recipients for one in second.messages] == [["u1@example.net"]]


@virtual
async def test_what_may_have_been_taken_goes_nowhere_else() -> None:
    """The session ends between the final dot and its reply."""
    first, second = await server(**{".": [CLOSE]}), await server()
    ((outcome,),) = await listed(first, second).send(claim())
    assert outcome.uncertain
    assert not second.sessions


@virtual
async def test_what_was_taken_before_the_session_ended_stays_with_its_host() -> None:
    """150 recipients are two transactions; the second one is lost, and tried at the next host."""
    first, second = await server(MAIL=["250 ok", CLOSE]), await server()
    (outcomes,) = await listed(first, second).send(many(150))
    assert [one.action for one in outcomes] == ["relayed"] * 150
    assert [len(one.recipients) for one in first.messages] == [100]
    assert [len(one.recipients) for one in second.messages] == [50]


@pytest.mark.parametrize(
    ("first", "second", "action", "status"),
    [
        (GREY, GREY, "delayed", "4.7.1"),
        (SPAM, SPAM, "failed", "5.7.1"),
        (GREY, SPAM, "delayed", "4.7.1"),
        (SPAM, GREY, "delayed", "4.7.1"),
        (SPAM, "550 5.1.1 who?", "failed", "5.1.1"),
        (GREY, "550 5.1.1 who?", "failed", "5.1.1"),
    ],
)
@virtual
async def test_where_all_hosts_say_so(first: str, second: str, action: str, status: str) -> None:
    """CLI-9: a refusal for good counts only when every host refuses so; an answer is an answer."""
    one, two = await server(MAIL=[first, FOR_EVER]), await server(MAIL=[second, FOR_EVER])
    relay = listed(one, two)
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.status, outcome.scope) == (action, status, "transaction")
    assert [len(each.sessions) for each in (one, two)] == [1, 1]


@pytest.mark.parametrize(("said", "status"), [(SPAM, "4.4.1"), (GREY, "4.4.1")])
@virtual
async def test_a_host_that_is_down_may_take_it_later(said: str, status: str) -> None:
    """And the next hop is as good for other messages as the one that answered."""
    one, two = await server(MAIL=[said]), await server()
    await two.close()
    relay = listed(one, two)
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.status, outcome.scope) == ("delayed", status, "transaction")
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"


@virtual
async def test_the_transcript_has_all_hosts() -> None:
    """A person sees what each of them said."""
    one, two = await server(MAIL=[GREY, FOR_EVER]), await server(RCPT=[SPAM, FOR_EVER])
    relay = listed(one, two)
    message = claim()
    await relay.send(message)
    text = relay.transcripts[message.message.ident]
    assert (
        f"mx0.example.net[127.0.0.1]:{one.port}\n" in text
        and f"mx1.example.net[127.0.0.1]:{two.port}\n" in text
    )
    assert GREY in text and SPAM in text
    assert text.index(GREY) < text.index("another host is tried") < text.index(SPAM)


@virtual
async def test_a_kept_session_fails_over_too_and_its_host_is_not_asked_again() -> None:
    first, second = await server(MAIL=["250 ok", GREY, "250 ok"]), await server()
    relay = listed(first, second, connections=1)
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta.startswith("mx0")
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta.startswith("mx1")
    assert len(first.sessions) == 1
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta.startswith("mx0"), "the next message begins at the first host again"


@virtual
async def test_one_host_alone_has_the_last_word() -> None:
    mx = await server(MAIL=["250 ok", GREY, GREY])
    relay = Relay(mx, manner=MANNER, connections=1)
    assert (await relay.send(claim()))[0][0].action == "relayed"
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.reply.text, outcome.scope) == ("delayed", "greylisted", "transaction")
    assert len(mx.sessions) == 1
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.status) == ("delayed", "4.7.1")


@virtual
async def test_limits_of_a_server_and_fail_over_together() -> None:
    """EXT-4: the second host takes one recipient a session; none is asked of the first one again."""
    first = await server(RCPT=[GREY, FOR_EVER])
    second = await ScriptServer(offer=("LIMITS MAILMAX=1 RCPTMAX=1",)).start()
    (outcomes,) = await listed(first, second).send(many(3))
    assert [one.action for one in outcomes] == ["relayed"] * 3
    assert len(first.sessions) == 1
    assert [len(one.recipients) for one in second.messages] == [1, 1, 1]


@pytest.mark.parametrize("seed", range(40))
@virtual
async def test_whatever_hosts_say_nobody_is_lost_and_nobody_gets_it_twice(seed: int) -> None:
    """Each recipient has one outcome, and who is relayed was taken by one host, and by that one alone."""
    random = Random(seed)
    says = {
        "greeting": ["220 ok", "220 ok", "421 4.3.2 busy", "554 5.3.2 no"],
        "MAIL": ["250 ok", "250 ok", "250 ok", GREY, "550 5.1.8 no", "421 4.3.2 busy", CLOSE],
        "RCPT": ["250 ok", "250 ok", "250 ok", GREY, SPAM, "550 5.1.1 who?", "421 4.3.2 busy", CLOSE],
        "DATA": ["354 go on", "354 go on", FULL, "421 4.3.2 busy", CLOSE],
        ".": ["250 ok", "250 ok", "250 ok", FULL, SPAM, "451 4.3.0 no", "421 4.3.2 busy", CLOSE],
    }
    servers = []
    for _ in range(random.randint(1, 4)):
        offer = random.choice([("PIPELINING",), (), ("PIPELINING", "LIMITS MAILMAX=1 RCPTMAX=3")])
        replies = {
            verb: [random.choice(said) for _ in range(6)] + ["250 ok"] * 9 for verb, said in says.items()
        }
        replies["DATA"] = [one.replace("250 ok", "354 go on") for one in replies["DATA"]]
        replies["greeting"] = [one.replace("250", "220") for one in replies["greeting"]]
        servers.append(await ScriptServer(offer=offer, **replies).start())
    relay = listed(*servers, connections=1)
    claims = [many(random.randint(1, 6)) for _ in range(3)]
    for number, one in enumerate(claims):
        one.message.envelope.reverse_path = parse(f"s{number}@example.com")
    for number, one in enumerate(claims):
        (outcomes,) = await relay.send(one)
        for outcome in outcomes:
            address = f"u{outcome.recipient}@example.net"
            taken = [
                place
                for place, server in enumerate(servers)
                for message in server.messages
                if message.content
                and message.sender == f"s{number}@example.com"
                and address in message.recipients
            ]
            if outcome.action == "relayed":
                assert [f"mx{place}" for place in taken] == [outcome.remote_mta[:3]]
            else:
                assert not taken
