"""Addresses with ports, in the writings people use."""

import pytest

from mether.setup.endpoint import parse_listen, parse_server, written


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("[::1]:2525", ("::1", 2525)),
        (":25", ("", 25)),
        ("localhost:0", ("localhost", 0)),
        ("unix:/run/mether/lmtp", ("unix:/run/mether/lmtp", 0)),
    ],
)
def test_where_to_listen(text, pair):
    assert parse_listen(text) == pair
    assert written(*pair) == text


@pytest.mark.parametrize(
    "text", ["", "25", "::1:25", "[::1]", "host", "a b:25", ":65536", ":-1", "h:٣", "[h]:25"]
)
def test_what_is_nowhere_to_listen(text):
    with pytest.raises(ValueError, match="expected an address and a port"):
        parse_listen(text)


@pytest.mark.parametrize("text", ["unix:", "unix:lmtp", "unix:/run/", "unix:/a\nb"])
def test_a_unix_socket_has_an_absolute_path(text):
    with pytest.raises(ValueError, match="expected an absolute path after unix:"):
        parse_listen(text)


def test_the_path_of_a_unix_socket_is_short():
    assert parse_listen("unix:/" + "x" * 106)[1] == 0
    with pytest.raises(ValueError, match="at most 107 octets"):
        parse_listen("unix:/" + "ü" * 60)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_name_servers(text, pair):
    assert parse_server(text) == pair


@pytest.mark.parametrize(
    "text", ["", "dns.test", "192.0.2.1:0", "192.0.2.1:x", "[::1", "300.0.0.1", "dns.test:53"]
)
def test_what_is_no_name_server(text):
    with pytest.raises(ValueError, match="expected an IP address"):
        parse_server(text)
