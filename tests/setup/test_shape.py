"""What the keys take, and that a value is written so that it is read back the same."""

import tomllib

import pytest

from mether.setup import shape
from mether.setup.shape import written


@pytest.mark.parametrize(
    ("section", "key", "given", "kept"),
    [
        ("service", "postmaster", '"Quoted one"@x.test', '"Quoted one"@x.test'),
        ("listen", "address", "[2001:db8::1]:025", "[2001:db8::1]:25"),
        ("listen", "relay_from", ["10.1.2.3"], ("10.1.2.3/32",)),
        ("listen", "max_size", "1.5MiB", 3 << 19),
        ("route", "lmtp", "lmtp:dove.test:2003", "dove.test:2003"),
        ("route", "lmtp", "dove.test", "dove.test"),
        ("route", "smtp", "192.0.2.1", "[192.0.2.1]"),
        ("retry", "intervals", ["90s"], (90.0,)),
    ],
)
def test_a_value_is_kept_in_one_writing(section, key, given, kept):
    assert shape.SHAPES[section][key](given) == kept


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("max_size", 50 << 20, '"50MiB"'),
        ("max_errors", 20, "20"),
        ("command_timeout", 5400.0, '"1h30m"'),
        ("jitter", 0.2, "0.2"),
        ("hosts", True, "true"),
        ("intervals", (60.0, 300.0), '["1m", "5m"]'),
        ("maildir", 'a"b\\c', '"a\\"b\\\\c"'),
        ("servers", (), "[]"),
    ],
)
def test_a_value_is_written_as_a_file_would(key, value, text):
    assert written(key, value) == text
    tomllib.loads(f"{key} = {text}")
