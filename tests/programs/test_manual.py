"""Every program has a manual page that names its options and statuses; every key has its place in one."""

import importlib
from pathlib import Path

import pytest

from mether.setup.shape import SHAPES

MAN = Path(__file__).resolve().parent.parent.parent / "man"
PROGRAMS = (
    "smtp",
    "smtpd",
    "in.smtpd",
    "smtpqer",
    "runsmtpq",
    "smtpq",
    "cleansmtpq",
    "returnsmtpmail",
    "sendmail",
    "mether",
    "newaliases",
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_names_every_option_and_status(name):
    program = importlib.import_module(f"mether.programs.{name.replace('.', '_')}").PROGRAM
    assert program.name == name
    page = (MAN / f"{name}.8").read_text()
    for option in program.options:
        if option.flag:
            assert f"Fl {option.flag}" in page
        if option.name:
            assert f"Fl -{option.name}" in page
    for exit in program.exits:
        assert f".It {exit if isinstance(exit, int) else exit[0]}\n" in page


def test_the_page_of_the_configuration_names_every_key():
    page = (MAN / "mether.toml.5").read_text()
    for section, keys in SHAPES.items():
        assert f"[{section}]" in page
        for key in keys:
            assert f".It Li {key} No =" in page


def test_every_reference_to_a_page_of_ours_leads_to_one():
    ours = {path.name for path in MAN.iterdir()}
    assert {f"{name}.8" for name in PROGRAMS} | {"mailq.8", "mether.toml.5"} == ours
    for path in MAN.iterdir():
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == [".Xr"] and words[1] not in (
                "sysexits",
                "syslog",
                "inetd",
                "resolv.conf",
                "sd_notify",
            ):
                assert f"{words[1]}.{words[2]}" in ours
