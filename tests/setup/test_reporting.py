"""What a configuration says of reports is how they are made."""

from __future__ import annotations

from pathlib import Path

import pytest
from mail import address

from mether.setup import config as config_
from mether.setup import reporting
from mether.setup.config import Config

TEXT = """\
[service]
hostname = "mx.example.com"
postmaster = "root@example.com"
undeliverable_reports = "drop"
[queue]
spool = "sqlite:spool"
[[route]]
domains = ["example.com"]
maildir = "mail/{user}"
[retry]
expire = "2d"
[reports]
hourly = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "spool").mkdir()
    file = tmp_path / "mether.toml"
    file.write_text(TEXT)
    return config_.load(str(file))


def test_the_reporter(config: Config) -> None:
    pace = reporting.pace(config)
    reporter = reporting.reporter(config, config.router(), pace)
    assert reporter.hostname == "mx.example.com"
    assert reporter.postmaster == address("root@example.com")
    assert not reporter.tell_postmaster
    assert reporter.lifetime == 2 * 86400.0
    assert reporter.boundary() != reporter.boundary()
    assert reporter.pace is pace


def test_all_who_report_in_a_spool_count_together(config: Config) -> None:
    """At acceptance, from the queue, and by a program of a person."""
    one, other = reporting.pace(config), reporting.pace(config)
    try:
        assert [one.ask("ann@example.org", "R1", 1e9), other.ask("ann@example.org", "R2", 1e9)] == [0.0, 0.0]
        assert one.ask("ann@example.org", "R3", 1e9) > 1e9
    finally:
        one.close()
        other.close()


def test_a_queue_in_memory_counts_for_itself() -> None:
    assert reporting.pace(config_.loads('[queue]\nspool = "memory:"\n')).path is None


def test_notices_go_where_the_bare_postmaster_does() -> None:
    """The built-in postmaster is at the hostname, which nothing delivers."""
    text = '[service]\nhostname = "mx.test"\n[[route]]\ndomains = ["home.test"]\nmaildir = "m/{user}"\n'
    config = config_.loads(text)
    router = config.router()
    assert reporting.reporter(config, router, None).postmaster == address("postmaster@home.test")
    assert reporting.postmaster(config, router) == address("postmaster@home.test")


def test_local_time_is_asked_anew_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRC-4: a service that runs through the end of summer time writes the right zone after it."""
    now, lead = 1792980000.0, 7200  # a full minute

    class Clock:
        def time(self) -> float:
            return now

        def localtime(self) -> object:
            return type("Local", (), {"tm_gmtoff": lead})

    monkeypatch.setattr(reporting, "time", Clock())
    assert reporting.offset() == 7200
    now, lead = now + 59.9, 3600
    assert reporting.offset() == 7200
    now += 0.2
    assert reporting.offset() == 3600
