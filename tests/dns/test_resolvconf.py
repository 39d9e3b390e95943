"""resolv.conf(5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.dns.resolvconf import MAX_SEARCH, Conf, parse


def test_what_it_says() -> None:
    found = parse(
        "# by dhcp\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; second\nnameserver fe80::1%eth0\n"
        "nameserver 192.0.2.4\nnameserver nonsense\nsearch a.example. B.example\noptions edns0 trust-ad\n"
    )
    assert found.servers == ("192.0.2.1", "2001:db8::1", "fe80::1%eth0")
    assert found.search == ("a.example", "b.example")
    assert found.trust_ad


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("domain example.org", ("example.org",)),
        ("search a b\nsearch c", ("c",)),
        ("search .", ()),
        ("search " + " ".join(f"d{n}" for n in range(9)), tuple(f"d{n}" for n in range(MAX_SEARCH))),
    ],
)
def test_search_lists(text: str, search: tuple[str, ...]) -> None:
    assert parse(text).search == search


def test_without_a_server_it_is_the_one_of_this_host() -> None:
    assert parse("").servers == ("127.0.0.1",)
    assert not parse("").trust_ad


@given(st.text())
def test_nothing_that_stands_there_is_an_error(text: str) -> None:
    assert parse(text).servers


def test_the_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    conf = Conf(str(path))
    assert conf.endpoints() == (("127.0.0.1", 53),)
    path.write_text("nameserver 192.0.2.1\n")
    assert conf.read().servers == ("192.0.2.1",)
    assert conf.read() is conf.read()
    path.with_name("new").write_text("nameserver 192.0.2.2\n")
    os.replace(path.with_name("new"), path)
    assert conf.endpoints() == (("192.0.2.2", 53),)
    path.unlink()
    assert conf.endpoints() == (("127.0.0.1", 53),)
