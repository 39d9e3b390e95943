"""The configuration held against what is there: what smtpd would refuse or trip over, before it does."""

from __future__ import annotations

from pathlib import Path

import certificates
import pytest

from mether.setup.check import findings
from mether.setup.config import loads

LISTEN = '[[listen]]\naddress = "127.0.0.1:587"\ntls = "none"\n[auth]\nclear_from = ["127.0.0.1"]\n'


def found(directory: Path, text: str, now: float = 1.8e9, **environ: str) -> list[tuple[bool, str]]:
    config = loads(text, str(directory / "m.toml"), environ={"HOME": "/h"})
    return [(one.fatal, one.what) for one in findings(config, now, environ=environ)]


def test_nothing_is_said_of_what_is_in_order(tmp_path: Path) -> None:
    assert found(tmp_path, "") == []
    assert found(tmp_path, LISTEN + 'program = ["true"]\n', PATH="/nowhere") == []


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (LISTEN + 'passwords = "none"', 6, "auth.passwords: {}/none: No such file"),
        (LISTEN + 'passwords = "open"', 6, "auth.passwords: {}/open: everyone may read or write it"),
        (LISTEN + 'passwords = "bad"', 6, "auth.passwords: {}/bad:1: expected LOGIN:VERIFIER"),
        (LISTEN + 'program = ["true"]\nsenders = "none"', 7, "auth.senders: {}/none: No such file"),
        (LISTEN + 'program = ["true"]\nsenders = "bad"', 7, "auth.senders: {}/bad:1: 'pattern' is not a"),
        (LISTEN + 'program = ["./none"]', 6, "auth.program: {}/none: No such file"),
        (LISTEN + 'program = ["./bad"]', 6, "auth.program: {}/bad: not executable"),
        (LISTEN + 'oauth = ["./"]', 6, "auth.oauth: {}: expected a program"),
        (LISTEN + 'checkpassword = ["no-such"]', 6, "auth.checkpassword: no-such: there is no such program"),
        ('[[route]]\ndomains = ["a.test"]\npipe = ["no-such"]', 3, "route.pipe: no-such: there is no such"),
        (
            '[[route]]\nsmtp = "h.test:25"\nlogin = { user = "a", password_command = ["no-such"] }',
            3,
            "route.login.password_command: no-such: ",
        ),
        ('[[login]]\nuser = "a"\npassword_command = ["no-such"]', 3, "login.password_command: no-such: "),
        ('[[login]]\nuser = "a"\ntoken_command = ["./none"]', 3, "login.token_command: {}/none: No such"),
        (
            '[[login]]\nuser = "a"\npassword_file = "open"',
            3,
            "login.password_file: {}/open: others may read it",
        ),
        ('[tls]\nca = "none"', 2, "tls.ca: {}/none: No such file"),
        ('[tls]\ncertificate = ["none"]', 2, "tls.certificate: {}/none: No such file"),
        ('[tls]\ncertificate = ["bad"]', 2, "tls.certificate: no key in {}/bad: set tls.key"),
    ],
)
def test_what_the_service_could_not_do_without_is_an_error(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    for name, mode in (("open", 0o644), ("bad", 0o600)):
        (tmp_path / name).write_text("login pattern\n")
        (tmp_path / name).chmod(mode)
    ((fatal, what),) = (
        one for one in found(tmp_path, text, PATH="/usr/bin:/bin") if "service.origin" not in one[1]
    )
    assert fatal
    assert what.startswith(f"{tmp_path}/m.toml:{line}: {words.format(tmp_path)}")
    assert "\n" not in what


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("relay_from", "an open relay"),
        ("proxy_from", "whoever connects may say that it speaks for any other client"),
        ("xclient_from", "whoever connects may say that it speaks for any other client"),
    ],
)
@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_to_trust_everybody_is_a_warning(tmp_path: Path, key: str, words: str, network: str) -> None:
    listen = f'[[listen]]\naddress = "{{}}"\n{key} = ["192.0.2.0/24", "{network}"]\n'
    ((fatal, what),) = found(tmp_path, listen.format(":2525"))
    assert not fatal
    assert what == f"{tmp_path}/m.toml:3: listen.{key}: {network} is everybody: {what.rpartition(': ')[2]}"
    assert words in what
    assert found(tmp_path, listen.format("127.0.0.1:2525")) == []  # nobody from outside comes here


def test_passwords_in_clear_from_everywhere(tmp_path: Path) -> None:
    text = '[[listen]]\naddress = ":587"\ntls = "none"\n[auth]\nprogram = ["true"]\nclear_from = ["::/0"]'
    ((fatal, what),) = found(tmp_path, text)
    assert not fatal
    assert what == (
        f"{tmp_path}/m.toml:6: auth.clear_from: ::/0 is everybody: passwords may go anywhere in clear text"
    )


def test_a_socket_that_is_not_there_may_still_come(tmp_path: Path) -> None:
    ((fatal, what),) = found(tmp_path, LISTEN + 'dovecot = "socket"')
    assert not fatal
    assert what.startswith(f"{tmp_path}/m.toml:6: auth.dovecot: {tmp_path}/socket: no such socket")


def test_an_expired_certificate_is_a_warning(tmp_path: Path) -> None:
    chain, key = certificates.pair(tmp_path, "old.example", expired=True)
    ((fatal, what),) = found(tmp_path, f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]')
    assert not fatal
    assert what.endswith("old.example-good-expired.pem: the certificate expired on 2020-01-01")


def test_several_things_are_told_at_once(tmp_path: Path) -> None:
    text = LISTEN + 'passwords = "none"\nsenders = "none"\n[tls]\ncertificate = ["none"]\n'
    assert [fatal for fatal, _ in found(tmp_path, text)] == [True, True, True]


@pytest.mark.parametrize(("spool", "fits"), [("sqlite", True), ("directory", False)])
def test_several_workers_need_a_queue_that_they_can_share(tmp_path: Path, spool: str, fits: bool) -> None:
    """``mether config --check`` says so, and not only the start; a process that only sends has none."""
    text = f'[queue]\nspool = "{spool}:spool"\n[service]\nworkers = 3\n'
    said = found(tmp_path, text)
    if fits:
        assert said == []
        return
    ((fatal, what),) = said
    assert fatal
    assert what.startswith(
        f"{tmp_path}/m.toml:4: service.workers: 3 workers need a sqlite: queue; a {spool}:"
    )
    config = loads(text, str(tmp_path / "m.toml"), environ={"HOME": "/h"})
    assert list(findings(config, 1.8e9, environ={}, receives=False)) == []


def test_a_route_that_never_takes_mail_is_a_warning_with_both_places(tmp_path: Path) -> None:
    a_test = '[[route]]\ndomains = ["a.test"]\n'
    text = a_test + "mx = true\n" + a_test + 'sender = ["x.test"]\nmaildir = "m"\n'
    text += '[[route]]\ndomains = ["b.test", "a.test"]\nmaildir = "m"\n'
    where = f"{tmp_path}/m.toml"
    assert found(tmp_path, text) == [
        (False, f"{where}:4: route: never takes mail: the route at {where}:1 takes all that it would"),
        (False, f"{where}:8: route.domains: a.test never gets here: the route at {where}:1 takes it before"),
    ]


def test_a_list_that_cannot_be_read_is_fatal_and_what_leads_to_nobody_a_warning(tmp_path: Path) -> None:
    """As newaliases has it: mail to the list would wait."""
    (tmp_path / "inc").write_text("|/bin/true\n")
    (tmp_path / "aliases").write_text(f"all: :include:{tmp_path}/inc\na: b\nb: a\n")
    text = '[[route]]\ndomains = ["a.test"]\nmaildir = "m"\naliases = ["aliases"]\n'
    lines = found(tmp_path, text)
    assert [(fatal, what.rpartition(f"{tmp_path}/")[2]) for fatal, what in lines] == [
        (False, "aliases: a: the alias is a loop: mail to it is refused"),
        (False, "aliases: b: the alias is a loop: mail to it is refused"),
        (True, "inc:1: '|/bin/true': expected an address; a list has no programs"),
    ]
