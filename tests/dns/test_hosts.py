"""The hosts file."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mether.dns import hosts

TEXT = """\
127.0.0.1\tlocalhost  # us
::1 localhost ip6-localhost
192.0.2.1 Mail.Example.org. mail
nonsense line
192.0.2.1
fe80::1%eth0 near
192.0.2.2 mail
"""


def test_names_have_their_addresses_in_order() -> None:
    names = hosts.parse(TEXT)
    assert names["localhost"] == ("127.0.0.1", "::1")
    assert names["mail.example.org"] == ("192.0.2.1",)
    assert names["mail"] == ("192.0.2.1", "192.0.2.2")
    assert names["near"] == ("fe80::1%eth0",)
    assert "line" not in names


@given(st.text(max_size=300))
def test_any_file_can_be_read(text: str) -> None:
    hosts.parse(text)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    file = hosts.Hosts(str(path))
    assert "mail" not in file
    path.write_text("192.0.2.1 mail\n")
    assert file.lookup("MAIL.") == ("192.0.2.1",)
    path.write_text("192.0.2.1 another\n")
    assert "mail" not in file
    assert "another" in file
    path.unlink()
    assert "another" not in file


def test_a_file_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert "x" not in hosts.Hosts(str(tmp_path))
