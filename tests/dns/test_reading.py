"""What is believed of a response."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.dns.reading import MAX_ALIASES, MAX_RECORDS, Reading, read
from mether.testing.dns import Zone

ZONE = Zone()


def response(*records: tuple[str, str, str], code: str = "NOERROR", soa: bool = False) -> dns.message.Message:
    made = dns.message.make_response(dns.message.make_query("example.org.", "MX"), recursion_available=True)
    made.set_rcode(dns.rcode.from_text(code))
    for name, kind, data in records:
        for one in made.answer:
            if one.name.to_text() == name + "." and one.rdtype == ZONE.rrset(name, kind, [data]).rdtype:
                one.update(ZONE.rrset(name, kind, [data]))
                break
        else:
            made.answer.append(ZONE.rrset(name, kind, [data]))
    if soa:
        made.authority.append(ZONE.rrset("org", "SOA", [". . 1 3600 600 86400 30"]))
    return made


def says(*records: tuple[str, str, str], **more: object) -> Reading:
    return read(response(*records, **more), "example.org", "MX")  # type: ignore[arg-type]


def test_records_of_the_name() -> None:
    found = says(("example.org", "MX", "20 b.example"), ("example.org", "MX", "10 A.example"))
    assert (found.says, found.name, found.ttl) == ("found", "example.org", 300)
    assert found.records == ((10, "a.example"), (20, "b.example"))


def test_what_is_said_of_other_names_is_passed_over() -> None:
    assert says(("evil.example", "MX", "10 evil.example"), soa=True).says == "empty"
    found = says(("evil.example", "MX", "1 evil.example"), ("example.org", "MX", "10 a.example"))
    assert found.records == ((10, "a.example"),)


def test_other_kinds_are_passed_over() -> None:
    assert says(("example.org", "A", "192.0.2.1"), soa=True).says == "empty"


def test_an_answer_is_as_old_as_its_oldest_alias() -> None:
    """MX-1."""
    made = response(("example.org", "CNAME", "x.example"), ("x.example", "MX", "10 a.example"))
    made.answer[0].ttl = 7
    found = read(made, "example.org", "MX")
    assert (found.says, found.name, found.ttl) == ("found", "x.example", 7)


def test_an_alias_without_more_is_to_be_asked_for() -> None:
    """MX-1."""
    found = says(("example.org", "CNAME", "x.example"))
    assert (found.says, found.name) == ("alias", "x.example")


@pytest.mark.parametrize("length", [1, MAX_ALIASES + 5])
def test_aliases_end(length: int) -> None:
    """In a circle, or a chain that is too long."""
    names = ["example.org", *(f"a{n}.example" for n in range(length))]
    pairs = list(zip(names, [*names[1:], "example.org"], strict=True))
    found = says(*((one, "CNAME", other) for one, other in pairs))
    assert (found.says, found.why) == ("failed", "the aliases of example.org lead nowhere")


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "NOTIMP", "FORMERR", "YXDOMAIN"])
def test_only_no_such_name_is_for_good(code: str) -> None:
    """MX-2: RFC 5321 section 5.1."""
    assert (says(code=code).says, says(code=code).why) == ("failed", code)
    assert says(code="NXDOMAIN").says == "absent"


def test_an_answer_for_a_name_that_does_not_exist_is_nonsense() -> None:
    assert says(("example.org", "MX", "10 a.example"), code="NXDOMAIN").says == "failed"


def test_nothing_holds_as_long_as_the_zone_says() -> None:
    """RFC 2308 section 5."""
    assert (says(soa=True).says, says(soa=True).ttl) == ("empty", 30)
    assert says(code="NXDOMAIN", soa=True).ttl == 30
    assert says(code="NXDOMAIN").ttl == 60


def test_a_server_that_points_elsewhere_does_not_know() -> None:
    """MX-2: lame."""
    made = response()
    made.flags &= ~dns.flags.RA
    made.authority.append(ZONE.rrset("org", "NS", ["a.root.example"]))
    assert read(made, "example.org", "MX").says == "failed"


def test_very_many_records_are_not_looked_at() -> None:
    """MX-5: the best are kept."""
    found = says(*(("example.org", "MX", f"{n} m{n}.example") for n in range(500, 0, -1)))
    assert len(found.records) == MAX_RECORDS
    assert found.records[0] == (1, "m1.example")


def test_the_ad_bit_is_believed_when_the_server_is() -> None:
    made = response(("example.org", "MX", "10 a.example"))
    made.flags |= dns.flags.AD
    assert not read(made, "example.org", "MX").authenticated
    assert read(made, "example.org", "MX", trusted=True).authenticated


@given(st.binary(max_size=200))
def test_any_octets_give_a_reading_or_no_message(data: bytes) -> None:
    try:
        made = dns.message.from_wire(response(("example.org", "MX", "10 a.example")).to_wire()[:12] + data)
    except Exception:  # what dnspython refuses is for dns.exchange
        return
    read(made, "example.org", "MX")
