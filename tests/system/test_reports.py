"""What a sender hears from the installed service: of success, of delay and of failure, each once."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from daemon import Client, Daemon
from peer import Peer

DEAD = '[[route]]\ndomains = ["dead.example"]\nsmtp = "127.0.0.1:1"\n'


@pytest.fixture(params=["sqlite:spool", "directory:spool"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, request.param, routes=DEAD)
    yield daemon
    assert daemon.stop() == 0


def send(service: Daemon, by: str) -> None:
    """To one whose mailbox is here and one whose host is down."""
    client = Client(service.port)
    client.say("EHLO client.example")
    replies = client.say(
        f"MAIL FROM:<alice@example.com> BY={by} ENVID=QQ+2B1 RET=FULL",
        "RCPT TO:<Bob@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@example.org",
        "RCPT TO:<eve@dead.example>",
        "RCPT TO:<mallory@dead.example> NOTIFY=NEVER",
        "DATA",
    )
    assert replies[-1].startswith("354"), replies
    client.socket.sendall(b"Subject: hi\r\n\r\nThe body.\r\n.\r\n")
    assert client.reply().startswith("250")
    client.close()


def heard(service: Daemon) -> list[dict[str, str]]:
    """The fields that programs read in what alice got, all blocks of a report together."""
    reports = []
    for octets in service.mailbox("alice"):
        blocks = message_from_bytes(octets).get_payload(1).get_payload()  # type: ignore[union-attr]
        reports.append({name: value for block in blocks for name, value in block.items()})  # type: ignore[union-attr]
    return reports


@pytest.mark.parametrize(
    ("by", "action", "status"), [("1;R", "failed", "5.4.7"), ("1;N", "delayed", "4.4.7")]
)
def test_each_recipient_is_reported_as_was_asked(service: Daemon, by: str, action: str, status: str) -> None:
    """DSN-4, DSN-5, DSN-6, BNC-3, BNC-7, BNC-8, EXT-1, TRC-8."""
    send(service, by)
    for kind in ("delivered", action):
        service.wait_for('"reported"', f'"{kind}"')
        service.wait_for('"delivered"', "alice@example.com")
    success, other = heard(service)
    assert success["Original-Envelope-Id"] == "QQ+1"
    assert success["Original-Recipient"] == "rfc822;Bob+x@example.org"
    assert success["Final-Recipient"] == "rfc822;Bob@example.com"
    assert (success["Action"], success["Status"]) == ("delivered", "2.0.0")
    assert other["Final-Recipient"] == "rfc822;eve@dead.example"
    assert (other["Action"], other["Status"]) == (action, status)
    assert ("Will-Retry-Until" in other) is (action == "delayed")
    (delivered,) = service.mailbox("bob")
    assert delivered.startswith(
        b"Return-Path: <alice@example.com>\nDelivered-To: Bob@example.com\n"
        b"Original-Recipient: rfc822;Bob+x@example.org\n"
    )
    assert not any(b"mallory" in octets for octets in service.mailbox("alice"))


TWO = """
[[route]]
domains = ["refuses.example"]
smtp = "127.0.0.1:{refusing}"
[[route]]
domains = ["seven.example"]
smtp = "127.0.0.1:{seven}"
"""


@pytest.mark.parametrize(("options", "kind"), [(("-8",), "quoted-printable"), ((), "8bit")])
def test_a_message_in_eight_bits_comes_back_to_a_host_of_seven(
    smtp_sink: Any, tmp_path: Path, options: tuple[str, ...], kind: str
) -> None:
    """BNC-1, BNC-6, 8BM-2: whole, as it was where that can be, and else with the same words."""
    refusing, seven = smtp_sink("-f", "RCPT"), smtp_sink(*options)
    daemon = Daemon(tmp_path, routes=TWO.format(refusing=refusing.port, seven=seven.port))
    try:
        client = Client(daemon.port)
        client.say("EHLO client.example")
        replies = client.say(
            "MAIL FROM:<ann@seven.example> BODY=8BITMIME", "RCPT TO:<bob@refuses.example>", "DATA"
        )
        assert replies[-1].startswith("354"), replies
        head = "Subject: hi\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        client.socket.sendall(f"{head}\r\nEin schöner Tag.\r\n.\r\n".encode())
        assert client.reply().startswith("250")
        client.close()
        daemon.wait_for('"relayed"', "ann@seven.example")
    finally:
        assert daemon.stop() == 0
    (text,) = seven.messages()
    assert "X-Mail-Args: <>" in text
    report = message_from_bytes(text.encode(errors="surrogateescape"), policy=policy.default)
    (original,) = report.get_payload(2).get_payload()  # type: ignore[union-attr,misc]
    assert original["Content-Transfer-Encoding"] == kind  # type: ignore[index]
    assert original.get_content() == "Ein schöner Tag.\n"  # type: ignore[union-attr]


APART = """
[[route]]
domains = ["{name}.example"]
smtp = "127.0.0.1:{port}"
"""


@pytest.mark.parametrize(
    ("spool", "arguments"),
    [("sqlite:spool", ()), ("sqlite:spool", ("--workers", "2")), ("directory:spool", ())],
    ids=["sqlite", "workers", "directory"],
)
def test_one_report_tells_of_all_that_failed_at_the_same_time(
    tmp_path: Path, spool: str, arguments: tuple[str, ...]
) -> None:
    """BNC-3: three recipients at three next hops, of which two refuse, are one report with two blocks."""
    with (
        Peer({"RCPT": ["550 5.1.1 never heard of"]}) as first,
        Peer() as second,
        Peer({"DATA": ["554 5.7.1 not from you"]}) as third,
    ):
        peers = {"first": first, "second": second, "third": third}
        routes = "".join(APART.format(name=name, port=peer.port) for name, peer in peers.items())
        daemon = Daemon(tmp_path, spool, routes=routes, arguments=arguments)
        try:
            for number in range(4):
                client = Client(daemon.port)
                client.say("EHLO client.example")
                recipients = [f"r{number}@{name}.example" for name in peers]
                assert client.mail("alice@example.com", *recipients).startswith("250")
                client.close()
            for _ in range(4):
                daemon.wait_for('"delivered"', "alice@example.com")
            assert second.wait_for(4)
        finally:
            assert daemon.stop() == 0
    blocks = []
    for octets in daemon.mailbox("alice"):
        _, *of_each = message_from_bytes(octets).get_payload(1).get_payload()  # type: ignore[union-attr,misc]
        blocks.append([(one["Final-Recipient"], one["Diagnostic-Code"]) for one in of_each])  # type: ignore[index]
    assert sorted(blocks) == [
        [
            (f"rfc822;r{number}@first.example", "smtp; 550 5.1.1 never heard of"),
            (f"rfc822;r{number}@third.example", "smtp; 554 5.7.1 not from you"),
        ]
        for number in range(4)
    ]
    assert "".join(daemon.lines).count('"reported"') == 4
