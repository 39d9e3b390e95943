"""Suppression lists in files: every form, and one bad record that costs no other."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.importing.found import Wrong
from mether.importing.suppression_fields import Usual
from mether.importing.suppressions import MAX_RECORD, PIECE, Unusable, read

NOW = 1_800_000_000.0


def items(text: str | bytes) -> Iterator[tuple[int, str] | tuple[int, None, str]]:
    data = text.encode() if isinstance(text, str) else text
    for item in read(io.BytesIO(data), Usual(NOW)):
        if isinstance(item, Unusable):
            yield item.line, None, item.why
        else:
            yield item[0], str(item[1].address)


def addresses(text: str | bytes) -> list[str | None]:
    return [item[1] for item in items(text)]


def reasons(text: str) -> list[tuple[str, float]]:
    found = []
    for item in read(io.BytesIO(text.encode()), Usual(NOW)):
        assert not isinstance(item, Unusable), item.why
        found.append((item[1].reason, item[1].since))
    return found


def test_an_address_a_line() -> None:
    text = '\ufeff# ours\n\na@x.example\r\n  <b@x.example>\nnone\n"c d"@x.example\n'
    assert list(items(text)) == [
        (3, "a@x.example"),
        (4, "b@x.example"),
        (5, None, "'none' is not an address: no @ and domain"),
        (6, '"c d"@x.example'),
    ]


def test_with_a_date_and_a_reason_behind_it() -> None:
    text = (
        "a@x.example 2020-01-02 550 No such user\n"
        "b@x.example, 2020-01-02 03:04:05, gone\n"
        "c@x.example;550 5.1.1 who?\n"
        'd@x.example\t"away"\n'
        "e@x.example 1577923200\n"
    )
    assert reasons(text) == [
        ("550 No such user", 1577923200.0),
        ("gone", 1577934245.0),
        ("550 5.1.1 who?", NOW),
        ("away", NOW),
        ("", 1577923200.0),
    ]


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_a_table(comma: str) -> None:
    lines = ["created,Reason,E-Mail,other", "2020-01-02,gone,a@x.example,1", ",,b@x.example"]
    found = list(read(io.BytesIO("\n".join(lines).replace(",", comma).encode()), Usual(NOW)))
    assert [
        (item[0], str(item[1].address), item[1].reason, item[1].since)
        for item in found
        if isinstance(item, tuple)
    ] == [
        (2, "a@x.example", "gone", 1577923200.0),
        (3, "b@x.example", "", NOW),
    ]


def test_a_cell_that_spreads_over_lines() -> None:
    text = 'email,reason\na@x.example,"550 no\r\nsuch ""user"", sorry"\nb@x.example,x\n'
    assert reasons(text) == [('550 no such "user", sorry', NOW), ("x", NOW)]


def test_a_quotation_mark_alone_costs_its_line_and_no_other() -> None:
    text = 'email,reason\na@x.example,"broken\n' + "".join(f"u{n}@x.example,y\n" for n in range(60))
    found = list(items(text))
    assert found[0] == (2, None, "a quotation mark without another")
    assert [item[:2] for item in found[1:]] == [(n + 3, f"u{n}@x.example") for n in range(60)]


def test_two_of_them_cost_what_stands_between_at_most() -> None:
    text = 'email,reason\na@x.example,"broken\nb@x.example,z\nc@x.example,"too\nd@x.example,y\n'
    assert addresses(text)[-1] == "d@x.example"


def test_json_lines() -> None:
    text = '{"address": "a@x.example"}\n\n{"address": 7}\nnonsense\n{"email": "b@x.example"}\n'
    assert list(items(text)) == [
        (1, "a@x.example"),
        (3, None, "'7' is not an address: no @ and domain"),
        (4, None, "no JSON object"),
        (5, "b@x.example"),
    ]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrapped", [False, True])
def test_json_arrays(indent: int | None, wrapped: bool) -> None:
    records = [{"email": f"u{n}@x.example", "reason": 'a "b\\" ] } [', "tags": [{"a": {}}]} for n in range(9)]
    whole = {"next": None, "paging": {"a": []}, "items": records} if wrapped else records
    text = json.dumps(whole, indent=indent)
    assert addresses(text) == [f"u{n}@x.example" for n in range(9)]
    lines = [item[0] for item in items(text)]
    assert lines == sorted(lines)
    assert (len(set(lines)) == 9) is (indent is not None)


def test_a_json_array_on_one_long_line_is_read_piece_by_piece() -> None:
    records = [{"email": f"u{n}@x.example", "reason": "é" * 50} for n in range(5000)]
    text = json.dumps(records, ensure_ascii=False)
    assert len(text) > 4 * max(PIECE, MAX_RECORD)

    class File(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 < size <= PIECE
            return super().read(size)

    found = list(read(File(text.encode()), Usual(NOW)))
    assert len(found) == 5000
    assert {item[1].reason for item in found if isinstance(item, tuple)} == {"é" * 50}


def test_an_object_that_is_too_long_is_left_out() -> None:
    text = json.dumps([{"email": "a@x.example", "x": "y" * 2 * MAX_RECORD}, {"email": "b@x.example"}])
    assert list(items(text)) == [(1, None, "longer than 64 KiB"), (1, "b@x.example")]


def test_json_that_ends_in_the_middle() -> None:
    assert list(items('[{"email": "a@x.example"},\n{"email": "b@x')) == [
        (1, "a@x.example"),
        (2, None, "the JSON ends in the middle"),
    ]


def test_json_without_a_record() -> None:
    assert list(items('{"a": {"email": "a@x.example"}}')) == [
        (1, None, "expected JSON objects in an array, or one a line")
    ]


def test_the_pages_of_an_answer_are_no_records() -> None:
    """SparkPost's way to the next page stands in an array, too."""
    found = {
        "results": [{"recipient": "a@x.example", "source": "Spam Complaint", "type": "transactional"}],
        "links": [{"href": "/api/v1/suppression-list?cursor=x", "rel": "next"}],
        "total_count": 1,
    }
    for text in (json.dumps(found), json.dumps(found, indent=2)):
        assert [item[1:] for item in items(text)] == [("a@x.example",)]


def test_a_line_that_is_too_long() -> None:
    text = "a@x.example\n" + "x" * (3 * MAX_RECORD) + "\nb@x.example\n"
    assert list(items(text)) == [(1, "a@x.example"), (2, None, "longer than 64 KiB"), (3, "b@x.example")]


def test_another_encoding_is_told() -> None:
    with pytest.raises(Wrong, match="UTF-16"):
        list(items("a@x.example\n".encode("utf-16")))


def test_nothing_is_in_an_empty_file() -> None:
    assert addresses("") == addresses("\n\n# only this\n") == addresses("[]") == []


@given(st.binary(max_size=600) | st.text(alphabet='ab@.,;"[]{}:\\\n\t 1', max_size=600).map(str.encode))
def test_whatever_comes_nothing_is_raised(data: bytes) -> None:
    try:
        for item in read(io.BytesIO(data), Usual(NOW)):
            assert isinstance(item, (tuple, Unusable))
    except Wrong:
        pass
