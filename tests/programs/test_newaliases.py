"""newaliases: cheerful, unless something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.programs import newaliases, sendmail


def config(tmp_path: Path, aliases: str, more: str = "") -> list[str]:
    (tmp_path / "aliases").write_text(aliases)
    (tmp_path / "m.toml").write_text(
        f'[[route]]\ndomains = ["example.com"]\nmaildir = "{tmp_path}/mail"\n'
        f'aliases = ["{tmp_path}/aliases"]\n{more}'
    )
    return ["-C", str(tmp_path / "m.toml")]


def test_good_aliases_are_nothing_to_talk_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newaliases.main(config(tmp_path, "postmaster: root\nroot: ann\n")) == 0
    assert sendmail.main([*config(tmp_path, "postmaster: root\n"), "-bi"]) == 0
    assert capsys.readouterr() == ("", "")


def test_what_leads_to_nobody_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newaliases.main(config(tmp_path, "a: b\nb: a\n")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"newaliases: warning: {tmp_path}/m.toml:1: ")
    assert [line.partition("aliases: ")[2].partition(f"{tmp_path}/aliases: ")[2] for line in lines] == [
        "a: the alias is a loop: mail to it is refused",
        "b: the alias is a loop: mail to it is refused",
    ]


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newaliases.main(config(tmp_path, "ann: b o b\n")) == 65
    assert capsys.readouterr().err == (
        f"newaliases: {tmp_path}/aliases:1: 'b o b' is no member of an alias: ' ' is not allowed in an "
        "unquoted local-part\n"
    )


def test_what_is_not_allowed_or_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = config(tmp_path, f"ann: |/bin/x\nbob: /var/mail/x\nlist: :include:{tmp_path}/none\n")
    assert sendmail.main([*argv, "-I"]) == 65
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].endswith("ann: mail to the program '/bin/x' is refused without alias_programs = true")
    assert said[1].endswith("bob: mail to the file '/var/mail/x' is refused without alias_files = true")
    assert said[2].endswith(f"{tmp_path}/none: No such file or directory")
    argv = config(tmp_path, "ann: |/bin/sh\n", "alias_programs = true\n")
    assert newaliases.main(argv) == 0
