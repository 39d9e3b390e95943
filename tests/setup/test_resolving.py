"""[dns], the resolver of a process, and what waits without any."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from mether.dns.hosts import Hosts
from mether.dns.off import Off
from mether.dns.resolver import Resolver
from mether.setup import config as config_
from mether.setup import resolving
from mether.setup.locate import ConfigError
from mether.setup.resolving import Dns


def test_there_is_one_resolver_as_long_as_nothing_changes() -> None:
    """What it knows outlives a reload."""
    loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    one = resolving.resolver(Dns(servers=("127.0.0.1",)), loop)
    assert isinstance(one, Resolver)
    assert resolving.resolver(Dns(servers=("127.0.0.1",)), loop) is one
    changed = resolving.resolver(Dns(servers=("127.0.0.2",)), loop)
    assert changed is not one
    # Sessions that began before a reload still ask the former one, and take nothing from the newer one.
    assert resolving.resolver(Dns(servers=("127.0.0.1",)), loop) is one
    assert resolving.resolver(Dns(servers=("127.0.0.2",)), loop) is changed
    assert resolving.resolver(Dns(servers=("127.0.0.2",)), other) is not changed
    assert isinstance(resolving.resolver(Dns(enabled=False), loop), Off)
    loop.close()
    other.close()


def test_the_hosts_file_is_asked_where_that_is_said() -> None:
    assert resolving.hosts(Dns()) is not None
    assert resolving.hosts(Dns(hosts=False)) is None


def test_what_the_file_says() -> None:
    dns = config_.loads(
        '[dns]\nenabled = false\nservers = ["::1"]\nprivate = "refuse"\ntrust_ad = true\n', environ={}
    ).dns
    assert (dns.enabled, dns.endpoints, dns.level, dns.trust_ad) == (False, (("::1", 53),), "refuse", True)
    with pytest.raises(ConfigError, match=r'2: dns\.private: expected "allow" or "site" or "refuse"'):
        config_.loads("[dns]\nprivate = true\n", environ={})


def complaints(tmp_path: Path, routes: str) -> list[str]:
    (tmp_path / "hosts").write_text("192.0.2.7 hub.example\n")
    config = config_.loads("[dns]\nenabled = false\n" + routes, environ={})
    return list(resolving.complaints(config, known=Hosts(str(tmp_path / "hosts"))))


@pytest.mark.parametrize(
    ("route", "complaint"),
    [
        ('smtp = "hub.example:587"', None),
        ('smtp = "[192.0.2.1]:587"', None),
        ('lmtp = "unix:/run/lmtp"', None),
        (
            'smtp = ["hub.example", "[other.example]"]',
            "mether.toml:4: route.smtp: other.example is in no hosts file, "
            "and [dns] enabled = false: its mail waits",
        ),
        (
            "mx = true",
            "mether.toml:4: route.mx: an MX is looked up in the DNS, "
            "and [dns] enabled = false: its mail waits",
        ),
    ],
)
def test_a_route_that_needs_the_dns_is_told_of(tmp_path: Path, route: str, complaint: str | None) -> None:
    found = complaints(tmp_path, f"[[route]]\n{route}\n")
    assert found == ([] if complaint is None else [complaint])


def test_mail_that_no_route_takes_needs_an_mx(tmp_path: Path) -> None:
    for routes in ("", '[[route]]\ndomains = ["a.example"]\nsmtp = "hub.example"\n'):
        assert complaints(tmp_path, routes) == [
            "mether.toml:2: dns.enabled: mail that no route takes needs an MX: it waits; add a route for it"
        ]


def test_with_the_dns_there_is_nothing_to_complain_of() -> None:
    assert not list(resolving.complaints(config_.loads("[[route]]\nmx = true\n", environ={})))


def test_the_library_is_not_loaded_without_the_dns() -> None:
    code = (
        "import asyncio, sys\n"
        "from mether.setup.resolving import Dns, resolver\n"
        "resolver(Dns(enabled=False), asyncio.new_event_loop())\n"
        "print('dns' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
