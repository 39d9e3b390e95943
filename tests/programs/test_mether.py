"""``mether config`` shows what is in effect and why; ``mether route`` says where mail goes."""

import json
import tomllib

import pytest

from mether.programs.mether import main
from mether.setup.config import load


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    for name in ("METHER_CONFIG", "METHER_SPOOL", "NOSYSEXITS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mether.setup.locate.SYSTEM", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(
        '[service]\nhostname = "mx.test"\n[queue]\nspool = "sqlite:spool"\n'
        '[[route]]\ndomains = ["home.test"]\nmaildir = "mail/{user}"\n'
        '[[route]]\ndomains = [".home.test"]\npipe = ["cat", "--", "{recipient}"]\n'
        '[[route]]\ndomains = ["far.test"]\nsmtp = "hub.test:2525"\n'
    )
    return str(path)


def test_the_printed_configuration_gives_the_same_again(file, tmp_path, capsys):
    assert main(["config", "-C", file]) == 0
    text = capsys.readouterr().out
    tomllib.loads(text)
    again = tmp_path / "again.toml"
    again.write_text(text)
    first, second = load(file), load(str(again))
    for section in ("service", "queue", "listen", "route", "relay", "retry", "dns", "log"):
        assert getattr(first, section) == getattr(second, section)


def test_it_tells_where_each_value_came_from(file, capsys):
    main(["config", "-C", file, "--spool", "sqlite:/other"])
    lines = {line.partition(" = ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["hostname"].endswith(f"# {file}:2")
    assert lines["spool"].endswith("# --spool")
    assert lines["expire"].endswith("# built in")


def test_without_a_file_it_says_so(capsys):
    assert main(["config"]) == 0
    assert capsys.readouterr().out.startswith("# no configuration file: everything is built in\n")


def test_check_is_silent_or_one_line(file, capsys):
    assert main(["config", "--check", "-C", file]) == 0
    assert capsys.readouterr() == ("", "")
    with open(file, "a") as more:
        more.write("[log]\nlevl = 'info'\n")
    assert main(["config", "--check", "-C", file]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"mether: {file}:15: log.levl: unknown key (did you mean level?)\n"


def test_check_warns_when_nobody_here_is_the_postmaster(tmp_path, capsys):
    path = tmp_path / "p.toml"
    path.write_text('[service]\nhostname = "mx.test"\n')
    assert main(["config", "--check", "-C", str(path)]) == 0
    assert capsys.readouterr().err == (
        f"mether: {path}: warning: no route delivers the postmaster's mail here (postmaster@mx.test)\n"
    )


def test_check_tells_of_a_table_that_cannot_be_read_with_its_place(tmp_path, capsys):
    path = tmp_path / "t.toml"
    path.write_text(
        '[service]\npostmaster = "p@a.test"\n'
        '[[table]]\nname = "t"\nsqlite = "gone.db"\nquery = "SELECT 1 FROM t WHERE a = ?"\n'
        '[[route]]\ndomains = ["file:domains"]\nusers = ["table:t"]\nmaildir = "m/{user}"\n'
    )
    assert main(["config", "--check", "-C", str(path)]) == 78
    assert capsys.readouterr().err == (
        f"mether: {path}:8: route.domains: {tmp_path}/domains: No such file or directory\n"
        f"mether: {path}:5: table.sqlite: {tmp_path}/gone.db: No such file or directory\n"
    )


def test_check_tells_all_errors_and_warnings_and_the_status(tmp_path, capsys):
    path = tmp_path / "m.toml"
    path.write_text(
        '[service]\npostmaster = "p@a.test"\n'
        '[[listen]]\naddress = ":2525"\nrelay_from = ["0.0.0.0/0"]\n'
        '[[route]]\ndomains = ["a.test"]\npipe = ["./nowhere"]\n'
    )
    assert main(["config", "--check", "-C", str(path)]) == 78
    assert capsys.readouterr() == (
        "",
        f"mether: {path}:8: route.pipe: {tmp_path}/nowhere: No such file or directory\n"
        f"mether: {path}:5: warning: listen.relay_from: 0.0.0.0/0 is everybody: "
        "an open relay, which sends anybody's mail to anywhere\n",
    )
    (tmp_path / "nowhere").write_text("#!/bin/sh\n")
    (tmp_path / "nowhere").chmod(0o755)
    assert main(["config", "--check", "-C", str(path)]) == 0


def test_the_default_file_is_written_once(tmp_path, capsys):
    path = tmp_path / "mether.toml"
    assert main(["config", "--write-default", str(path)]) == 0
    assert main(["config", "--check", "-C", str(path)]) == 0
    assert main(["config", "--write-default", str(path)]) == 73
    assert capsys.readouterr().err == f"mether: {path}: File exists\n"


def test_the_default_file_makes_no_directory_of_any_name(tmp_path, capsys):
    path = tmp_path / "nonexist" / "mether.toml"
    assert main(["config", "--write-default", str(path)]) == 73
    assert capsys.readouterr().err == f"mether: {path}: there is no directory {path.parent}\n"
    assert not path.parent.exists()


def test_json_is_one_object(file, capsys):
    main(["config", "--json", "-C", file])
    assert json.loads(capsys.readouterr().out)["route"][2]["smtp"] == "hub.test:2525"


def test_check_warns_of_a_login_that_no_mail_can_go_by(tmp_path, capsys):
    path = tmp_path / "m.toml"
    path.write_text(
        '[service]\npostmaster = "p@a.test"\norigin = "a.test"\n'
        '[[route]]\ndomains = ["a.test"]\nmaildir = "m/{user}"\n'
        '[[route]]\ndomains = ["*"]\nsmtp = "[smtp.example.net]:587"\n'
        '[[login]]\nnext_hop = "smtp.exmple.net:587"\nuser = "ann"\npassword_credential = "p"\n'
    )
    assert main(["config", "--check", "-C", str(path)]) == 0
    assert capsys.readouterr().err == (
        f"mether: {path}:11: warning: login.next_hop: no route leads to smtp.exmple.net:587 "
        "(did you mean smtp.example.net:587?): this login is never used\n"
    )


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (
            [],
            64,
            "mether: expected a command: config, route, passwd, fsck, import, bounce or suppress; "
            "try mether --help\n",
        ),
        (["confg"], 64, "mether: unknown command 'confg' (did you mean config?); try mether --help\n"),
        (["config", "x"], 64, "mether: config takes no operand; 'x' is one too many; try mether --help\n"),
        (["route"], 64, "mether: route needs an address; try mether --help\n"),
        (
            ["config", "--no-dns"],
            64,
            "mether: --no-dns is for route, and not for config; try mether --help\n",
        ),
        (["config", "-C", "/no.toml"], 78, "mether: /no.toml: there is no such configuration file\n"),
    ],
)
def test_what_is_wrong_is_one_line(argv, status, text, capsys):
    assert main(argv) == status
    assert capsys.readouterr().err == text
