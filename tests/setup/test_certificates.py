"""The listeners' certificates, made from [tls]; what is wrong with a file is told before anything listens."""

from __future__ import annotations

from pathlib import Path

import certificates
import pytest

from mether.event import mail as event
from mether.setup.certificates import complaints, server_tls
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
    with pytest.raises(
        ConfigError, match=r"^mether\.toml:3: tls\.key: /nonexistent/key: No such file"
    ) as caught:
        server_tls(config)
    assert "\n" not in str(caught.value)


def test_a_certificate_without_its_key_says_which_key_is_missing(tmp_path: Path):
    chain, _ = certificates.pair(tmp_path, "a.example")
    with pytest.raises(ConfigError) as caught:
        server_tls(loads(f'[tls]\ncertificate = ["{chain}"]\n', environ={}))
    assert str(caught.value) == f"mether.toml:2: tls.certificate: no key in {chain}: set tls.key"


@pytest.mark.parametrize("text", [None, "no certificate\n"])
def test_authorities_that_cannot_be_read_are_told_at_their_own_line(tmp_path: Path, text: str | None):
    chain, key = certificates.pair(tmp_path, "a.example")
    ca = tmp_path / "ca.pem"
    if text:
        ca.write_text(text)
    config = loads(f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\nclient_ca = "{ca}"\n', environ={})
    with pytest.raises(ConfigError) as caught:
        server_tls(config)
    assert str(caught.value).startswith(f"mether.toml:4: tls.client_ca: {ca}: ")


def test_certificates_that_do_not_hold_now_and_keys_that_are_no_secret(tmp_path: Path):
    """They are used all the same: this is for a person to be told."""
    old = certificates.pair(tmp_path, "old.example", expired=True)
    new = certificates.pair(tmp_path, "new.example")
    Path(new[1]).chmod(0o644)
    text = f'[tls]\ncertificate = ["{old[0]}", "{new[0]}"]\nkey = ["{old[1]}", "{new[1]}"]\n'
    config = loads(text, environ={})
    tls = server_tls(config)
    assert tls is not None
    begin, end = tls.certificates[1].validity
    assert list(complaints(config, tls, (begin + end) / 2)) == [
        f"mether.toml:2: tls.certificate: {old[0]}: the certificate expired on 2020-01-01",
        f"mether.toml:3: tls.key: {new[1]}: everyone may read or write the key (mode 0644): "
        f"chmod o= {new[1]}",
    ]
    Path(new[1]).chmod(0o640)
    assert len(list(complaints(config, tls, begin))) == 1
    assert "is not valid before " in list(complaints(config, tls, begin - 1))[1]
    assert list(complaints(loads("", environ={}), None, 0.0)) == []


def test_a_certificate_that_is_read_anew_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chain, key = certificates.pair(tmp_path, "a.example")
    tls = server_tls(loads(f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\n', environ={}))
    assert tls is not None
    told: list[tuple[str, object]] = []
    monkeypatch.setattr("mether.event.mail.sinks", [lambda name, fields: told.append((name, fields["what"]))])
    for kind, path in zip((chain, key), certificates.pair(tmp_path, "b.example"), strict=True):
        Path(kind).write_bytes(Path(path).read_bytes())
    tls.reload()
    assert told == [("noted", f"{chain}: the certificate was read anew")]
    assert "noted" not in event.LEVELS  # which has all that is not INFO
