"""The listeners' certificates, made from [tls]; what is wrong with a file is told before anything listens."""

from __future__ import annotations

from pathlib import Path

import certificates
import pytest

from mether.setup.certificates import server_tls
from mether.setup.config import loads
from mether.setup.locate import ConfigError


def test_none_without_a_certificate():
    assert server_tls(loads("", environ={})) is None


def test_the_first_is_the_default(tmp_path: Path):
    """TLS-9"""
    one = certificates.pair(tmp_path, "a.example")
    other = certificates.pair(tmp_path, "b.example")
    text = f'[tls]\ncertificate = ["{one[0]}", "{other[0]}"]\nkey = ["{one[1]}", "{other[1]}"]\n'
    tls = server_tls(loads(text, environ={}))
    assert tls is not None
    assert [found.dns_names for found in tls.certificates] == [("a.example",), ("b.example",)]


def test_a_key_in_the_certificates_own_file(tmp_path: Path):
    chain, key = certificates.pair(tmp_path, "a.example")
    both = tmp_path / "both.pem"
    both.write_bytes(Path(key).read_bytes() + Path(chain).read_bytes())
    tls = server_tls(loads(f'[tls]\ncertificate = ["{both}"]\n', environ={}))
    assert tls is not None
    assert tls.certificates[0].dns_names == ("a.example",)


def test_what_is_wrong_is_one_line_with_its_place(tmp_path: Path):
    chain, _ = certificates.pair(tmp_path, "a.example")
    config = loads(f'[tls]\ncertificate = ["{chain}"]\nkey = ["/nonexistent/key"]\n', environ={})
    with pytest.raises(ConfigError, match=r"^mether\.toml:2: .*/nonexistent/key: No such file") as caught:
        server_tls(config)
    assert "\n" not in str(caught.value)
