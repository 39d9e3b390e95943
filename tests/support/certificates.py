"""Certificates for tests: an authority of this run, and files that servers load.

Keys are made by trustme, once for each set of names; nothing here is trusted by any system.
"""

from __future__ import annotations

import datetime
import functools
from pathlib import Path

import trustme


@functools.cache
def authority(name: str = "good") -> trustme.CA:
    """An authority; each name is another one."""
    return trustme.CA(organization_name=f"mether tests {name}")


@functools.cache
def issued(*names: str, by: str = "good", expired: bool = False, common_name: str = "") -> trustme.LeafCert:
    """A certificate for these names."""
    until = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
    extra = {"not_before": datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC)} if expired else {}
    return authority(by).issue_cert(*names, common_name=common_name or None, not_after=until, **extra)


def pair(directory: Path, *names: str, by: str = "good", expired: bool = False) -> tuple[str, str]:
    """Files with the chain and the key of a certificate for these names."""
    made = issued(*names, by=by, expired=expired)
    stem = (names[0] if names else "none").replace("*", "any") + f"-{by}{'-expired' * expired}"
    chain, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    key.chmod(0o600)
    return str(chain), str(key)


def ca_file(directory: Path, by: str = "good") -> str:
    """A file with the authority's own certificate."""
    path = directory / f"ca-{by}.pem"
    path.write_bytes(authority(by).cert_pem.bytes())
    return str(path)


def der(*names: str, common_name: str = "") -> bytes:
    """The octets of a certificate for these names."""
    import ssl

    return ssl.PEM_cert_to_DER_cert(
        issued(*names, common_name=common_name).cert_chain_pems[0].bytes().decode()
    )
