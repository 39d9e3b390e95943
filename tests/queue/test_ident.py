"""Queue ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.queue import ident

NUMBERS = st.integers(0, (1 << 63) - 1)


@given(NUMBERS)
def test_an_id_comes_back_in_either_case(number: int) -> None:
    text = ident.encode(number)
    assert len(text) == ident.LENGTH
    assert ident.decode(text) == ident.decode(text.lower()) == number


@given(NUMBERS, NUMBERS)
def test_ids_sort_as_their_numbers_do(one: int, two: int) -> None:
    assert (one < two) == (ident.encode(one) < ident.encode(two))


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0" * 12, "0" * 14, "8" + "0" * 12, "ZZZZZZZZZZZZZ", "0I00000000000", "0l00000000000"),
        *("0U00000000000", "+000000000001", "0000000_00001", " 000000000001", "٠" * 13, "../../../etc/"),
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        ident.decode(text)


@given(st.text(max_size=14))
def test_no_text_is_taken_for_another_id(text: str) -> None:
    try:
        number = ident.decode(text)
    except ValueError:
        return
    assert ident.encode(number) == text.upper()


def test_later_messages_have_later_ids() -> None:
    times = [1_600_000_000.0, 1_800_000_000.0, 1_800_000_000.00001, 1_800_000_001.0, 2_500_000_000.0]
    ids = [ident.new_id(at, 4095 - number) for number, at in enumerate(times)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@given(NUMBERS, st.integers(1, 2000), st.integers(1, 2000))
def test_reports_have_ids_of_their_own(number: int, one: int, two: int) -> None:
    original = ident.encode(number)
    reports = {ident.report_id(original, settlement) for settlement in (one, two)}
    assert original not in reports
    assert len(reports) == len({one, two})
    assert ident.report_id(original, one) == ident.report_id(original.lower(), one)


@given(st.integers(0, 2**62), st.lists(st.integers(1, 2**40), min_size=1, max_size=5))
def test_a_report_on_a_report_is_never_named_as_the_first_message(
    number: int, settlements: list[int]
) -> None:
    """Reports on reports must not come back to an id that is in the queue already."""
    seen = [ident.encode(number)]
    for settlement in settlements:
        seen.append(ident.report_id(seen[-1], settlement))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("at", "said"), [(ident.EPOCH - 1.0, "before 2020-01-01"), (3.9e9, "after 2091-05-10")]
)
def test_a_clock_that_is_wrong_is_said_to_be_in_the_same_words(at: float, said: str) -> None:
    told = set()
    for number in range(3):
        with pytest.raises(ValueError, match=f"clock of this system is wrong: it is {said}") as caught:
            ident.decode(ident.new_id(at + number * 1e-3, number))
        told.add(str(caught.value))
    assert len(told) == 1


def test_the_first_and_the_last_id() -> None:
    assert ident.decode(ident.new_id(ident.EPOCH, 0)) == 0
    assert ident.decode(ident.new_id(ident.EPOCH + 2**51 / 1e6 - 1, 0)) < 1 << 63


def test_an_id_tells_when_its_message_arrived() -> None:
    assert ident.arrived(ident.new_id(1_700_000_000.25, 99)) == 1_700_000_000.25
    with pytest.raises(ValueError, match="is not a queue id"):
        ident.arrived("none")
