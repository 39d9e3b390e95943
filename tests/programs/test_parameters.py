"""What a command line says of a message goes into its envelope by the rules of a server."""

import pytest

from mether.address import parse as path
from mether.envelope import Envelope, Recipient
from mether.programs import parameters
from mether.programs.options import Program, UsageError, parse

PROGRAM = Program("test", [""], "", parameters.OPTIONS)


def envelope(*argv, **more):
    made = Envelope(None, [Recipient(path("a@example.net")), Recipient(path("b@example.net"))], **more)
    parameters.put(parse(PROGRAM, argv), made)
    return made


def test_nothing_said_changes_nothing():
    assert envelope() == Envelope(None, envelope().recipients)


def test_the_parameters_of_each():
    made = envelope("--dsn", "never", "--dsn-return", "hdrs", "--dsn-envid", "a b=", "--body", "binarymime")
    assert [each.notify for each in made.recipients] == ["NEVER", "NEVER"]
    assert (made.ret, made.envid, made.body) == ("HDRS", "a+20b+3D", "BINARYMIME")


def test_what_the_addresses_need_is_not_taken_back():
    assert envelope(smtputf8=True).smtputf8
    assert not envelope().requiretls
    assert envelope("--requiretls", "--smtputf8").requiretls


@pytest.mark.parametrize(
    ("option", "value"), [("--dsn", "success,never"), ("--dsn-return", "all"), ("--dsn-envid", "x" * 101)]
)
def test_a_fault_names_the_option(option, value):
    with pytest.raises(UsageError, match=f"^{option}: "):
        envelope(option, value)
