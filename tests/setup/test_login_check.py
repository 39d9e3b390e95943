"""Logins at servers that nobody verifies."""

from __future__ import annotations

import pytest

from mether.setup import login_check
from mether.setup.config import loads

LOGIN = 'login = { user = "ann", password_file = "p"%s }\n'
PLAIN = LOGIN % ""


def complaints(text: str) -> list[str]:
    return list(login_check.complaints(loads(text, "/etc/m.toml", environ={})))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f'[[route]]\nsmtp = "h.test:587"\ntls = "may"\n{PLAIN}', 3, 'route.tls: "may" verifies no server'),
        (
            f'[[route]]\nsmtp = "h.test:587"\ntls = "encrypt"\n{PLAIN}',
            3,
            "at h.test:587 needs SCRAM there, or",
        ),
        (f'[tls]\nsend = "none"\n[[route]]\nsmtp = "h.test"\n{PLAIN}', 2, 'tls.send: "none" verifies no'),
        (
            '[[login]]\nnext_hop = "h.test"\nuser = "ann"\npassword_file = "p"\n'
            '[[route]]\nsmtp = ["[127.0.0.1]:26", "h.test:587"]\ntls = "none"\n',
            7,
            "the login as ann at h.test:587",
        ),
        (
            '[[route]]\nsmtp = "h.test"\ntls = "may"\n' + LOGIN % ', mechanisms = ["PLAIN"]',
            3,
            "cannot work, and mail waits",
        ),
    ],
)
def test_a_route_that_verifies_nobody_is_told_of(text: str, line: int, words: str) -> None:
    """A password is shown only to a server that was verified."""
    (found,) = complaints(text)
    assert found.startswith(f"/etc/m.toml:{line}: ") and words in found


@pytest.mark.parametrize(
    "text",
    [
        f'[[route]]\nsmtp = "h.test:587"\n{PLAIN}',
        f'[[route]]\nsmtp = "h.test:587"\ntls = "verify"\n{PLAIN}',
        f'[[route]]\nsmtp = "[127.0.0.1]:587"\ntls = "may"\n{PLAIN}',
        '[[route]]\nlmtp = "unix:/run/x"\n' + PLAIN,
        '[[route]]\nsmtp = "h.test"\ntls = "may"\n',
        '[[route]]\nsmtp = "h.test"\ntls = "may"\n' + LOGIN % ', mechanisms = ["SCRAM-SHA-256"]',
        '[[route]]\nmx = true\ntls = "may"\n',
    ],
)
def test_others_are_not(text: str) -> None:
    assert complaints(text) == []
