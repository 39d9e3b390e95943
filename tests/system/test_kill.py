"""kill -9 of smtpd under load: what got its 250 is delivered or queued, and nothing settled comes twice."""

from __future__ import annotations

import json
import re
import smtplib
import threading
from collections import Counter

import pytest
from peers import until

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "{kind}:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:{sink}"
"""

KILLS = 3
CLIENTS = 8
BETWEEN = 60
"""Messages answered between one kill and the next."""


class Load:
    """Clients that send as fast as they are answered, until `stop`; `answered` has the ids of all 250s."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: list[str] = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self.port, "client.example.net", timeout=60) as client:
                    client.ehlo()
                    while not self.stopping.is_set():
                        self._send(client)
            except (OSError, smtplib.SMTPException):
                continue  # killed: it comes back

    def _send(self, client: smtplib.SMTP) -> None:
        client.mail("a@example.com")
        client.rcpt("b@example.net")
        code, text = client.data(b"Subject: load\r\n\r\n" + b"0123456789abcdef\r\n" * 200)
        if code == 250:
            self.answered.append(text.decode().rpartition(" ")[2])


def arrivals(sink) -> Counter[str]:
    """How often each message reached the sink, by the queue id in its trace field."""
    return Counter(re.search(r"^\s*(?:.*\s)?id (\w{13})\b", text, re.M)[1] for text in sink.messages())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_what_was_answered_survives_kills_under_load(kind, smtp_source, smtp_sink, smtpd, mether):
    """DAT-5, QUE-5: no message that was answered 250 is lost, and none that was settled is sent again."""
    sink = smtp_sink()
    daemon = smtpd(CONFIG.format(kind=kind, sink=sink.port))
    load = Load(daemon.port)
    try:
        for kill in range(1, KILLS + 1):
            until(lambda kill=kill: len(load.answered) >= kill * BETWEEN)
            # smtp-source's own, whose answers nobody keeps, are under way when it dies.
            pressing = threading.Thread(
                target=smtp_source,
                args=("-s", "5", "-m", "500", "-t", "b@example.net", f"127.0.0.1:{daemon.port}"),
                kwargs={"check": False},
            )
            seen = len(load.answered)
            pressing.start()
            until(lambda seen=seen: len(load.answered) >= seen + BETWEEN // 2)
            daemon.kill()
            pressing.join()
            daemon.start()
    finally:
        load.stop()
    answered = set(load.answered)

    def queued():
        lines = mether("smtpq", "-C", str(daemon.config), "--json", check=True).stdout.splitlines()
        return {json.loads(line)["queue_id"] for line in lines}

    assert daemon.stop() == 0
    waiting, arrived = queued(), arrivals(sink)
    assert answered - waiting - arrived.keys() == set()
    assert len(answered) >= KILLS * BETWEEN

    removed = Counter(re.findall(r"(\w{13}): removed", daemon.log()))
    assert [ident for ident, count in removed.items() if count > 1] == []
    # Sent twice is only what was in flight at a kill: of that nobody had written down that it was sent.
    assert all(count <= 1 + KILLS for count in arrived.values())
