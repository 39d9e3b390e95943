"""The command lines that programs give to other sendmails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.programs.options import Say, UsageError
from mether.programs.sendmail_options import arguments

ANN = "ann@example.net"
HARMLESS = [
    "-om", "-oem", "-oee", "-oep", "-oeq", "-oew", "-odb", "-odi", "-odq", "-o7", "-o8", "-oi", "-U", "-n",
    "-m", "-G", "-v", "-bm", "-h 5", "-L tag", "-X /dev/null", "-A c", "-Am", "-p ESMTP:host", "-N never",
    "-N success,failure,delay", "-R full", "-R hdrs", "-V envid", "-B8BITMIME", "-B 7BIT", "-O smtputf8",
    "-O DeliveryMode=b", "-d0.1",
]  # fmt: skip


@pytest.mark.parametrize("flag", HARMLESS)
def test_a_harmless_flag(flag: str) -> None:
    """The flags that programs give to other sendmails."""
    given = arguments([*flag.split(), "-f", "x@example.org", ANN])
    assert given.recipients == [ANN]
    assert (given.sender, given.mode, given.run_queue) == ("x@example.org", "m", False)


@given(st.lists(st.text(alphabet="-tifFbqorCXB@=ax <>\n", max_size=6)))
def test_any_arguments_are_read_or_refused(argv: list[str]) -> None:
    try:
        arguments(argv)
    except (UsageError, Say):
        pass


@pytest.mark.parametrize(
    ("argv", "mode"),
    [
        ([], "b"),
        (["-odb"], "b"),
        (["-odi"], "i"),
        (["-odq"], "q"),
        (["-odd"], "d"),
        (["-od"], "b"),
        (["-O", "DeliveryMode=interactive"], "i"),
        (["-ODeliveryMode=q"], "q"),
        (["-odq", "-odi"], "i"),
    ],
)
def test_when_it_is_delivered(argv: list[str], mode: str) -> None:
    assert arguments(argv).delivery == mode


@pytest.mark.parametrize("flag", ["-odx", "-ODeliveryMode=9"])
def test_a_mode_of_delivery_that_is_none(flag: str) -> None:
    with pytest.raises(UsageError, match="expected a mode of delivery: b, i or q"):
        arguments([flag])
