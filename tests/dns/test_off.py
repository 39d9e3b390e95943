"""Without any DNS."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from mether.dns import mx
from mether.dns.off import Off


def test_a_domain_waits_and_is_told_why() -> None:
    """MX-2: the configuration can be mended; the mail is not returned."""
    for question in (
        mx.lookup("example.org", Off(), lambda: 0.5),
        mx.direct("mail.example.org", Off(), lambda name: ()),
    ):
        with pytest.raises(mx.DnsFailure) as caught:
            asyncio.run(question)
        reply = caught.value.reply
        assert (reply.code, reply.status) == (451, "4.4.3")
        assert "the DNS is switched off here ([dns] enabled = false)" in str(reply)


def test_the_hosts_file_and_addresses_still_work() -> None:
    """MX-8."""
    assert asyncio.run(mx.lookup("[192.0.2.1]", Off(), lambda: 0.5))[0].addresses == ("192.0.2.1",)
    found = asyncio.run(mx.direct("mail.example.org", Off(), lambda name: ("192.0.2.7",)))
    assert found.addresses == ("192.0.2.7",)


def test_the_library_is_not_even_imported() -> None:
    code = (
        "import asyncio, sys\n"
        "from mether.dns import mx, off\n"
        "try: asyncio.run(mx.lookup('example.org', off.Off(), lambda: 0.5))\n"
        "except mx.DnsFailure: print('dns' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
