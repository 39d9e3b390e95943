"""``mether route`` says where mail for an address goes, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mether.programs.mether import main

TEXT = """\
[service]
hostname = "mx.test"
postmaster = "pm@home.test"
[dns]
enabled = false
[[listen]]
name = "inner"
address = "127.0.0.1:2525"
[[route]]
domains = ["home.test"]
maildir = "mail/{user}"
[[route]]
domains = [".home.test"]
pipe = ["cat", "--", "{recipient}"]
[[route]]
name = "news"
sender = ["@news.test"]
client = ["192.0.2.0/24"]
authenticated = ["ann"]
listener = ["inner"]
smtp = ["127.0.0.2:587", "unix.test"]
helo = "news.test"
source = ["127.0.0.1"]
failover = ["421"]
[[route]]
domains = ["far.test"]
smtp = "[127.0.0.3]:2525"
tls = "verify"
tls_names = ["hub.test"]
login = { user = "ann", password_env = "P" }
[[route]]
domains = ["two.test"]
forward = ["Bob@home.test", "carl@far.test", "no@gone.test"]
[[route]]
domains = ["gone.test"]
refuse = "550 5.1.2 gone"
[[route]]
domains = ["quiet.test"]
discard = true
[[route]]
recipient = ["odd@*"]
hold = "to be looked at"
[[route]]
domains = ["here.test"]
users = ["ann"]
lmtp = "unix:/run/lmtp"
[[route]]
domains = ["table.test"]
users = ["file:none"]
lmtp = "unix:/run/lmtp"
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "m.toml"
    path.write_text(TEXT)
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> list[str]:
    assert main(["route", *argv]) == status
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_mail_that_is_delivered_here(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "-C", file, "Ann@home.test", "b@x.home.test") == [
        "Ann@home.test",
        f"rule home.test, at {file}:9",
        "open to anybody",
        "next hop maildir:home.test",
        f"into {tmp_path}/mail/ann",
        "",
        "b@x.home.test",
        f"rule .home.test, at {file}:12",
        "open to anybody",
        "next hop pipe:.home.test",
        "into cat -- {recipient}",
    ]


def test_mail_that_is_relayed(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "-C", file, "c@far.test") == [
        "c@far.test",
        f"rule far.test, at {file}:25",
        "open to who may relay: see relay_from and auth",
        "next hop smtp:[127.0.0.3]:2525",
        "host [127.0.0.3] port 2525: 127.0.0.3",
        "TLS verify for hub.test",
        "login ann",
    ]


def test_what_is_known_of_the_mail_decides(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    facts = ("--client", "192.0.2.7", "--login", "Ann", "--listener", "inner", "--sender", "x@news.test")
    assert said(capsys, "-C", file, *facts, "c@other.test") == [
        "c@other.test",
        f"rule news, at {file}:15",
        "open to who may relay: see relay_from and auth",
        "next hop smtp:127.0.0.2:587,unix.test, by connections of the route news alone".replace(
            "127.0.0.2", "[127.0.0.2]"
        ),
        "EHLO name news.test",
        "from address 127.0.0.1",
        "next host at 421",
        "target [127.0.0.2]:587",
        "host [127.0.0.2] port 587: 127.0.0.2",
        "TLS may",
        "login none",
        "target unix.test",
        "no host 451 4.4.3 the DNS has no answer about unix.test now: "
        "the DNS is switched off here ([dns] enabled = false)",
        "TLS may",
        "login none",
    ]
    assert said(capsys, "-C", file, *facts[2:], "--no-dns", "c@other.test")[1] == "rule none: by MX"


def test_what_an_alias_makes_of_it(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "-C", file, "--no-dns", "x@two.test") == [
        "x@two.test",
        f"rule two.test, at {file}:31",
        "open to anybody",
        "goes to Bob@home.test, by alias, as one of several",
        "next hop maildir:home.test",
        f"by rule home.test, at {file}:9",
        f"into {tmp_path}/mail/bob",
        "goes to carl@far.test, by alias, as one of several",
        "next hop smtp:[127.0.0.3]:2525",
        f"by rule far.test, at {file}:25",
        "TLS verify for hub.test",
        "login ann",
        "goes not to no@gone.test: 550 5.1.2 gone",
    ]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("x@gone.test", "refused 550 5.1.2 gone"),
        ("x@quiet.test", "discarded taken, and forgotten"),
        ("odd@other.test", "held to be looked at, by the route *, at FILE:40"),
        ("bob@here.test", "refused 550 5.1.1 no such user here"),
        ("ann@here.test", "next hop lmtp:unix:/run/lmtp"),
        ("postmaster", "next hop maildir:home.test"),
    ],
)
def test_what_else_may_become_of_it(
    file: str, address: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = line.replace("FILE", file)
    status = 67 if line.startswith("refused") else 0
    assert line in said(capsys, "-C", file, "--no-dns", address, status=status)


def test_a_table_that_cannot_be_read_is_a_passing_trouble(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "-C", file, "a@table.test", status=75)
    assert lines[1] == f"cannot be told now: {tmp_path}/none: No such file or directory"
    assert lines[2].startswith("answer 451 4.3.0 ")


def test_json_is_one_object_for_each(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "--json", "-C", file, "c@far.test", "x@two.test"]) == 0
    far, two = map(json.loads, capsys.readouterr().out.splitlines())
    assert (far["rule"], far["where"], far["open"]) == ("far.test", f"{file}:25", False)
    assert (far["next_hop"], far["tls"], far["tls_names"], far["login"]) == (
        "[127.0.0.3]:2525",
        "verify",
        ["hub.test"],
        "ann",
    )
    (target,) = far["deliveries"][0]["targets"]
    assert target["hosts"] == [
        {"name": "[127.0.0.3]", "port": 2525, "preference": 0, "addresses": ["127.0.0.3"]}
    ]
    assert [(one["address"], one["how"]) for one in two["deliveries"]] == [
        ("Bob@home.test", "list"),
        ("carl@far.test", "list"),
    ]


def test_logins_by_sender(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        '[[route]]\ndomains = ["a.test"]\nsmtp = "[hub.test]:587"\n'
        '[[login]]\nnext_hop = "[hub.test]:587"\nsender = "*@x.test"\nuser = "xaver"\npassword_env = "P"\n'
        '[[login]]\nnext_hop = "[hub.test]:587"\nuser = "all"\npassword_env = "P"\n'
    )

    def login(*argv: str) -> str:
        return said(capsys, "--no-dns", "-C", str(path), *argv, "z@a.test")[-1]

    assert login() == "login all; other senders have other logins: see --sender"
    assert login("--sender", "y@x.test") == "login xaver"
    assert login("--sender", "<>") == "login all"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["no body"], "'no body' is not an address: no @ and domain"),
        (["<>"], "the null reverse-path is nobody's address"),
        (["a b", "a b"], "'a b' is not an address: no @ and domain"),
        (["--sender", "no body", "a@b.test"], "'no body' is not an address: no @ and domain"),
        (["--client", "here", "a@b.test"], "--client: 'here' is no IP address"),
        (
            ["--listener", "iner", "a@b.test"],
            "--listener: no [[listen]] has the name 'iner' (did you mean inner?)",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    file: str, argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["route", "-C", file, *argv]) == 64
    assert capsys.readouterr() == ("", f"mether: {text}\n")


def test_a_wrong_address_does_not_keep_the_others_from_their_answers(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["route", "--no-dns", "-C", file, "a@home.test", "b ad", "b@far.test"]) == 64
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if line and line[0] != " "] == ["a@home.test", "b@far.test"]
    assert err == "mether: 'b ad' is not an address: no @ and domain\n"


@pytest.mark.parametrize("address", ["postmaster", "Postmaster@mx.test"])
def test_the_postmaster_is_the_services(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """RFC 5321 section 4.5.1: as RCPT and sendmail take it."""
    told = said(capsys, "-C", file, "--no-dns", address)
    assert told[1:4] == [
        "for pm@home.test, the postmaster here",
        f"rule home.test, at {file}:9",
        "open to anybody",
    ]
    assert told[-1] == f"into {tmp_path}/mail/pm"


REWRITING = """\
[service]
hostname = "host.home.test"
user = "daemon"
[dns]
enabled = false
[srs]
domain = "home.test"
secret_file = "secrets"
[[route]]
domains = ["home.test"]
maildir = "mail/{user}"
[[route]]
name = "own"
domains = ["users.test"]
maildir = "{home}/Maildir"
delimiter = "+"
as_user = true
[[route]]
name = "list"
domains = ["list.test"]
forward = ["carl@far.test"]
[[route]]
smtp = "[127.0.0.3]"
masquerade = ["home.test"]
rewrite = { "ann@host.home.test" = "Ann.Lee@lee.test", "dan@far.test" = "dan@farther.test" }
srs = true
"""


@pytest.fixture
def rewriting(tmp_path: Path) -> str:
    (tmp_path / "secrets").write_text("secret of some length\n")
    (tmp_path / "secrets").chmod(0o600)
    path = tmp_path / "m.toml"
    path.write_text(REWRITING)
    return str(path)


def leaves(capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    return [
        line for line in said(capsys, "--no-dns", *argv) if line.startswith(("leaves", "with", "rewritten"))
    ]


def test_the_addresses_under_which_mail_leaves(rewriting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The map, masquerading, and for who is neither of ours nor in the map, SRS in the envelope alone."""
    argv = ("-C", rewriting, "--sender")
    assert leaves(capsys, *argv, "ann@host.home.test", "dan@far.test") == [
        "leaves from <Ann.Lee@lee.test>",
        "with From Ann.Lee@lee.test",
        "leaves to dan@farther.test",
    ]
    assert leaves(capsys, *argv, "bob@host.home.test", "c@far.test") == [
        "leaves from <bob@home.test>",
        "with From bob@home.test",
        "leaves to c@far.test",
    ]
    [path, author, to] = leaves(capsys, *argv, "eve@else.test", "x@list.test")
    assert path.startswith("leaves from <SRS0=")
    assert path.endswith("=else.test=eve@home.test>")
    assert (author, to) == ("with From eve@else.test", "leaves to carl@far.test")
    assert leaves(capsys, *argv, "<>", "c@far.test") == ["leaves from <>", "leaves to c@far.test"]
    assert leaves(capsys, "-C", rewriting, "c@far.test") == [
        "leaves from whom the route makes of the sender: see --sender",
        "leaves to c@far.test",
    ]
    assert leaves(capsys, *argv, "bob@host.home.test", "x@home.test") == []


def test_the_reverse_path_with_verp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An X for each character of the queue id that it will have; only for senders of that domain."""
    path = tmp_path / "mether.toml"
    path.write_text('[[route]]\nsmtp = "hop.test"\nverp = ["home.test"]\n')
    argv = ("-C", str(path), "--sender")
    assert leaves(capsys, *argv, "ann@home.test", "bob@far.test")[0] == (
        "leaves from <ann+XXXXXXXXXXXXX=bob=far.test@home.test>"
    )
    assert leaves(capsys, *argv, "ann@else.test", "bob@far.test")[0] == "leaves from <ann@else.test>"
    assert leaves(capsys, *argv, "<>", "bob@far.test")[0] == "leaves from <>"


def test_a_map_that_cannot_be_read_is_told(
    rewriting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(rewriting).read_text()
    map = 'rewrite = "file:map"'
    Path(rewriting).write_text(
        "\n".join(map if one.startswith("rewrite") else one for one in text.split("\n"))
    )
    [line] = leaves(capsys, "-C", rewriting, "--sender", "ann@host.home.test", "c@far.test")
    assert line.startswith(f"rewritten cannot be told now: {tmp_path}/map")


def test_as_whom_mail_is_delivered(rewriting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The service's user, or the Unix user in the address, in whose home directory it lies."""
    import pwd

    argv = ("-C", rewriting, "--no-dns")
    assert said(capsys, *argv, "Ann@home.test")[-1] == "as user daemon"
    found = pwd.getpwnam("nobody")
    assert said(capsys, *argv, "Nobody+x@users.test")[-2:] == [
        f"into {found.pw_dir}/Maildir",
        f"as user nobody, uid {found.pw_uid}",
    ]
    assert said(capsys, *argv, "nosuchuser@users.test")[-2:] == [
        "into no mailbox: there is no home directory",
        "as user 550 5.1.1 there is no such user here",
    ]
    assert "no mail is delivered as root" in said(capsys, *argv, "root@users.test")[-1]


def test_json_has_them_too(rewriting: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["route", "--json", "--no-dns", "-C", rewriting, "--sender", "bob@host.home.test"]
    assert main([*argv, "c@far.test", "ann@home.test"]) == 0
    far, home = (json.loads(line)["deliveries"][0] for line in capsys.readouterr().out.splitlines())
    assert far["leaves"] == {
        "reverse_path": "bob@home.test",
        "from": "bob@home.test",
        "recipient": "c@far.test",
    }
    assert (home["user"], "leaves" in home) == ({"name": "daemon"}, False)


def test_a_login_at_a_server_that_nobody_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        '[[route]]\nsmtp = "hub.test:587"\ntls = "may"\nlogin = { user = "ann", password_env = "P" }\n'
    )
    lines = said(capsys, "-C", str(path), "--no-dns", "x@a.test")
    assert "login ann, but the server is not verified: no password is shown to it, only SCRAM works" in lines


def test_a_list_gives_its_members_the_reverse_path_of_its_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mail of anybody but a report, which has none: it shows without --sender, too."""
    path = tmp_path / "m.toml"
    (tmp_path / "aliases").write_text("club: ann, bob\nowner-club: ann\nboth: ann, bob\none: ann\n")
    path.write_text('[[route]]\ndomains = ["a.test"]\nmaildir = "m/{user}"\naliases = ["aliases"]\n')

    def goes(*argv: str) -> list[str]:
        lines = said(capsys, "--no-dns", "-C", str(path), *argv)
        return [line.partition(", ")[2] for line in lines if line.startswith("goes to")]

    member = "as a member of the list, with the reverse-path owner-club@a.test"
    assert goes("club@a.test") == goes("--sender", "x@b.test", "club@a.test") == [member] * 2
    assert goes("--sender", "<>", "club@a.test") == goes("both@a.test") == ["by alias, as one of several"] * 2
    assert goes("one@a.test") == ["by alias"]


def test_a_name_alone_is_at_the_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As sendmail takes it."""
    path = tmp_path / "m.toml"
    path.write_text('[service]\nhostname = "h.test"\norigin = "o.test"\n[[route]]\nsmtp = "[127.0.0.1]"\n')
    assert said(capsys, "--no-dns", "-C", str(path), "--sender", "ann", "root")[0] == "root@o.test"


def test_what_is_refused_for_now_is_a_passing_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[[route]]\nrefuse = "450 4.7.1 later"\n')
    assert "refused 450 4.7.1 later" in said(capsys, "--no-dns", "-C", str(path), "a@b.test", status=75)


def test_an_address_on_the_suppression_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and the status says that nothing is sent; an exempt route and a mailbox here are not."""
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{tmp_path / 'spool'}")
    path = tmp_path / "m.toml"
    path.write_text(
        '[[route]]\ndomains = ["far.test"]\nsmtp = "[127.0.0.1]"\n'
        '[[route]]\ndomains = ["near.test"]\nsmtp = "[127.0.0.2]"\nsuppress = false\n'
        '[[route]]\ndomains = ["here.test"]\nmaildir = "m/{user}"\n'
    )
    config = ("-C", str(path))
    assert main(["suppress", "add", *config, "a@far.test", "a@near.test", "a@here.test"]) == 0
    lines = said(capsys, "--no-dns", *config, "A@far.test", status=67)
    assert any(line.startswith("not sent 550 5.7.1 suppressed address: ") for line in lines)
    for other in ("b@far.test", "a@near.test", "a@here.test"):
        assert not any(line.startswith("not sent") for line in said(capsys, "--no-dns", *config, other))
