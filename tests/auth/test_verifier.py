"""Verifiers: written, read back, checked; and lines that would cost too much."""

import os

import pytest

from mether.auth.verifier import Argon2id, Scram, VerifierError, make, parse

ARGON2 = "{ARGON2ID}$argon2id$v=19$m=32,t=1,p=1$eHh4eHh4eHh4eHh4eHh4eA$" + "A" * 43
KEY = "A" * 43 + "="


@pytest.mark.parametrize(("scheme", "kind"), [("argon2id", Argon2id), ("scram-sha-256", Scram)])
def test_what_is_made_is_read_and_checks(scheme, kind):
    written = make(scheme, "p:ässword", os.urandom)
    assert ":" not in written and "\n" not in written
    verifier = parse(written)
    assert isinstance(verifier, kind)
    assert verifier.check("p:ässword")
    assert not verifier.check("p:ässwort")


def test_the_same_password_is_never_written_the_same():
    assert make("scram-sha-256", "x", os.urandom) != make("scram-sha-256", "x", os.urandom)


def test_the_vector_of_rfc_7677_as_dovecot_writes_it():
    """RFC 7677 section 3: user's password is pencil."""
    verifier = parse(
        "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert verifier.check("pencil")
    assert not verifier.check("pencils")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "{PLAIN}secret",
        "{ARGON2ID}",
        "{ARGON2ID}$argon2i$v=19$m=32,t=1,p=1$eHh4eHh4eHh4eHh4eHh4eA$" + "A" * 43,
        ARGON2.replace("m=32", "m=1048577"),
        ARGON2.replace("t=1", "t=0"),
        ARGON2.replace("p=1", "p=17"),
        ARGON2.replace("p=1", "q=1"),
        ARGON2.replace("t=1", "t=²"),
        ARGON2 + "!",
        f"{{SCRAM-SHA-256}}4095,c2FsdA==,{KEY},{KEY}",
        f"{{SCRAM-SHA-256}}9999999,c2FsdA==,{KEY},{KEY}",
        f"{{SCRAM-SHA-256}}4096,,{KEY},{KEY}",
        f"{{SCRAM-SHA-256}}4096,c2FsdA==,{KEY}",
        f"{{SCRAM-SHA-256}}4096,c2FsdA==,{KEY},AAAA",
        "{SCRAM-SHA-256}4096," + "A" * 88 + f",{KEY},{KEY}",
    ],
)
def test_what_is_no_verifier(text):
    """One clear line, and the verifier is not in it."""
    with pytest.raises(VerifierError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_names_of_schemes_are_read_in_any_case():
    assert isinstance(parse(ARGON2.replace("ARGON2ID}", "argon2id}")), Argon2id)
