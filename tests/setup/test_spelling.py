"""What a person who misspelled a word probably meant."""

import pytest

from mether.setup.spelling import nearest

KNOWN = ("hostname", "postmaster", "spool")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("hostnam", "hostname"),
        ("HostName", "hostname"),
        ("spoool", "spool"),
        ("tls", ""),
        ("", ""),
        ("x" * 10**6, ""),
    ],
)
def test_the_nearest_word(word, meant):
    assert nearest(word, KNOWN) == meant
