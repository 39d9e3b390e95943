"""``smtp`` against servers of every temper: what it says, prints, and exits with."""

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from peer import CLOSE, Peer, closed_port, fed

from mether.dns import hosts
from mether.net import blocking
from mether.programs.smtp import main

BIN = Path(sys.executable).parent
MESSAGE = b"Subject: hi\n\nHello.\n"
SENDER, ANN, BOB, CAT = "me@example.org", "ann@example.net", "bob@example.net", "cat@example.net"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch):
    monkeypatch.setenv("METHER_CONFIG", "")
    monkeypatch.delenv("NOSYSEXITS", raising=False)


def smtp(capsys, *argv, message=MESSAGE):
    """The status, the lines on stdout, and stderr."""
    with fed(message):
        status = main(list(argv))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out.splitlines(), err


def sent(capsys, message, **more):
    """What the server gets for this input."""
    with Peer(**more) as peer:
        status, _, err = smtp(capsys, peer.target, SENDER, ANN, message=message)
        assert (status, err) == (0, "")
    (taken,) = peer.messages
    return taken.content


def test_all_accepted(capsys):
    with Peer() as peer:
        status, out, err = smtp(capsys, peer.target, SENDER, ANN, BOB)
    assert (status, err) == (0, "")
    assert out == [f"{ANN}: relayed (250 2.0.0 taken)", f"{BOB}: relayed (250 2.0.0 taken)"]
    (taken,) = peer.messages
    assert (taken.sender, taken.recipients) == (SENDER, [ANN, BOB])
    assert taken.content == b"Subject: hi\r\n\r\nHello.\r\n"
    assert peer.said() == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]


NO_USER = "550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("replies", "status", "action"),
    [
        ({"RCPT": [NO_USER]}, 67, "failed (550 5.1.1 no such user)"),
        ({"RCPT": ["550 nobody"]}, 67, "failed (550 nobody)"),
        ({"RCPT": ["550 5.1.2 no such host"]}, 68, "failed (550 5.1.2"),
        ({"RCPT": ["556 5.1.10 null MX"]}, 68, "failed (556 5.1.10"),
        ({"RCPT": ["554 5.7.1 go away"]}, 69, "failed (554 5.7.1 go away)"),
        ({"RCPT": ["550 5.7.1 relaying denied"]}, 69, "failed (550 5.7.1 relaying denied)"),
        ({"RCPT": ["452 4.2.2 full"]}, 75, "delayed (452 4.2.2 full)"),
        ({"RCPT": ["552 too many recipients"]}, 75, "delayed (552 too many"),
        ({"MAIL": ["550 5.7.1 not you"]}, 69, "failed (550 5.7.1 not you)"),
        ({"MAIL": ["451 4.3.0 later"]}, 75, "delayed (451 4.3.0 later)"),
        ({"DATA": ["554 5.5.1 no"]}, 69, "failed (554 5.5.1 no)"),
        ({".": ["554 5.6.0 bad content"]}, 65, "failed (554 5.6.0 bad content)"),
        ({".": ["550 5.7.1 spam"]}, 69, "failed (550 5.7.1 spam)"),
        ({".": ["452 4.3.1 disk full"]}, 75, "delayed (452 4.3.1 disk full)"),
        ({"greeting": ["554 5.3.2 no mail here"]}, 69, "failed (554 5.3.2 no mail here)"),
        ({"greeting": ["421 4.3.2 busy"]}, 75, "delayed (421 4.3.2 busy)"),
        ({"EHLO": ["550 5.7.1 no"], "HELO": ["550 5.7.1 no"]}, 69, "failed (550 5.7.1 no)"),
        ({"greeting": [b"SSH-2.0-OpenSSH\r\n"]}, 76, "delayed (451 4.5.0"),
        ({"RCPT": [b"hello there\r\n"]}, 76, "delayed (451 4.5.0"),
        ({"MAIL": ["354 what?"]}, 76, "delayed (451 4.5.0"),
        ({"greeting": [b"2" * 5000]}, 76, "delayed (451 4.5.0"),
    ],
)
def test_the_exit_status_is_the_outcome(capsys, replies, status, action):
    """CLI-8, CLI-12, CLI-2: the first digit decides."""
    with Peer(replies) as peer:
        result, out, err = smtp(capsys, peer.target, SENDER, ANN)
    assert result == status
    assert err == ""
    assert len(out) == 1 and out[0].startswith(f"{ANN}: {action}")
    assert not peer.messages


def test_a_refused_recipient_never_stops_the_others(capsys):
    """A BUG of 1986: "dealing with bad recipients would be tricky"."""
    for offer in (("PIPELINING",), ()):
        with Peer({f"RCPT TO:<{BOB}>": [NO_USER]}, offer=offer) as peer:
            status, out, _ = smtp(capsys, peer.target, SENDER, ANN, BOB, CAT)
        assert status == 67
        assert [line.split()[1] for line in out] == ["relayed", "failed", "relayed"]
        assert peer.messages[0].recipients == [ANN, CAT]


def test_a_recipient_that_is_no_address_never_stops_the_others(capsys):
    """CLI-12: it fails by itself, as a server would have it (553 5.1.3), in its own place."""
    for options in ((), ("--probe",)):
        with Peer() as peer:
            status, out, err = smtp(capsys, *options, peer.target, SENDER, "bob@@x", ANN, "", "a\nb", CAT)
        assert (status, err) == (67, "")
        names, words = zip(*(line.split(": ", 1) for line in out), strict=True)
        assert names == ("bob@@x", ANN, "''", "'a\\nb'", CAT)
        done = "acceptable" if options else "relayed"
        assert [word.split()[0] for word in words] == ["failed", done, "failed", "failed", done]
        assert all(word.startswith("failed (553 5.1.3 ") for word in (words[0], words[2], words[3]))
        assert [one for one in peer.said() if one == "RCPT"] == ["RCPT"] * 2
    with Peer({"RCPT": ["450 4.2.1 later"]}) as peer:
        assert smtp(capsys, peer.target, SENDER, "bob@@x", ANN)[0] == 75


def test_no_recipient_is_an_address(capsys):
    status, out, err = smtp(capsys, "--json", "127.0.0.1:1", SENDER, "bob@@x")
    assert (status, err) == (67, "")
    (line,) = map(json.loads, out)
    assert (line["recipient"], line["action"], line["status"]) == ("bob@@x", "failed", "5.1.3")
    assert smtp(capsys, "127.0.0.1:1", "me@@x", ANN)[0] == 64


def test_a_deferred_recipient_outweighs_a_refused_one(capsys):
    with Peer({f"RCPT TO:<{BOB}>": [NO_USER], f"RCPT TO:<{CAT}>": ["450 4.2.1 later"]}) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN, BOB, CAT)
    assert status == 75
    assert [line.split()[1] for line in out] == ["relayed", "failed", "delayed"]


def test_nothing_is_sent_when_all_are_refused(capsys):
    with Peer({"RCPT": [NO_USER]}, offer=()) as peer:
        assert smtp(capsys, peer.target, SENDER, ANN, BOB)[0] == 67
    assert "DATA" not in peer.said()


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_a_server_that_closes_at_any_stage_defers(capsys, stage):
    with Peer({stage: [CLOSE]}) as peer:
        status, out, err = smtp(capsys, peer.target, SENDER, ANN)
    assert (status, err) == (75, "")
    assert out[0].startswith(f"{ANN}: delayed (451 4.4.2")
    assert out[0].endswith("; it may have been delivered") == (stage == ".")


def test_421_defers_at_any_stage(capsys):
    for stage in ("EHLO", "MAIL", "RCPT", "DATA", "."):
        with Peer({stage: ["421 4.3.2 going down"]}) as peer:
            status, out, _ = smtp(capsys, peer.target, SENDER, ANN)
        assert status == 75, stage
        assert f"{ANN}: delayed" in out[0]


def test_a_lost_quit_is_no_loss(capsys):
    with Peer({"QUIT": [CLOSE]}) as peer:
        assert smtp(capsys, peer.target, SENDER, ANN)[0] == 0


def test_nobody_listens(capsys):
    port = closed_port()
    status, out, err = smtp(capsys, f"127.0.0.1:{port}", SENDER, ANN)
    assert (status, err) == (75, "")
    assert f"delayed (451 4.4.1 connecting to [127.0.0.1]:{port}: Connection refused)" in out[0]


def test_a_host_that_does_not_exist(capsys, monkeypatch):
    def none(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(blocking, "addresses", none)
    status, out, _ = smtp(capsys, "nohost", SENDER, ANN)
    assert status == 68
    assert out == [f"{ANN}: failed (550 5.1.2 the host nohost: Name or service not known)"]


def test_a_name_service_in_trouble_defers(capsys, monkeypatch):
    def silent(host, port):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(blocking, "addresses", silent)
    status, out, _ = smtp(capsys, "[mail.example.net]", SENDER, ANN)
    assert status == 75
    assert "delayed (451 4.4.3" in out[0]


def test_the_next_address_is_tried(capsys, monkeypatch):
    """CLI-7: each address of a host in turn until one takes the message."""
    with Peer() as good, Peer({"greeting": ["421 4.3.2 busy"]}, host="127.0.0.2", port=good.port) as bad:
        found = [(socket.AF_INET, f"127.0.0.{n}") for n in (3, 2, 1)]
        monkeypatch.setattr(blocking, "addresses", lambda host, port: found)
        status, out, err = smtp(capsys, "-v", f"mailhub:{good.port}", SENDER, ANN)
    assert status == 0, out
    assert len(bad.sessions) == len(good.sessions) == len(good.messages) == 1
    for number in (3, 2, 1):
        assert f"== connecting to mailhub[127.0.0.{number}]:{good.port}" in err


NO_MAIL = {"greeting": ["554 5.3.2 no mail here"]}


@pytest.mark.parametrize("order", [(3, 2), (2, 3)])
def test_a_host_that_is_only_down_may_take_it_later(capsys, monkeypatch, order):
    """RFC 5321 section 5.1: one host's refusal is not the answer of those that are down."""
    with Peer(NO_MAIL, host="127.0.0.2") as bad:
        found = [(socket.AF_INET, f"127.0.0.{n}") for n in order]
        monkeypatch.setattr(blocking, "addresses", lambda host, port: found)
        status, out, _ = smtp(capsys, f"mailhub:{bad.port}", SENDER, ANN)
    assert status == 75
    assert out[0].startswith(f"{ANN}: delayed (451 4.4.1 ")


def test_every_host_refuses(capsys, monkeypatch):
    with Peer(NO_MAIL) as one, Peer(NO_MAIL, host="127.0.0.2", port=one.port):
        found = [(socket.AF_INET, f"127.0.0.{n}") for n in (2, 1)]
        monkeypatch.setattr(blocking, "addresses", lambda host, port: found)
        status, out, _ = smtp(capsys, f"mailhub:{one.port}", SENDER, ANN)
    assert status == 69
    assert out == [f"{ANN}: failed (554 5.3.2 no mail here)"]


def test_after_the_content_no_other_address_is_tried(capsys, monkeypatch):
    with Peer() as good, Peer({".": [CLOSE]}, host="127.0.0.2", port=good.port):
        found = [(socket.AF_INET, f"127.0.0.{n}") for n in (2, 1)]
        monkeypatch.setattr(blocking, "addresses", lambda host, port: found)
        assert smtp(capsys, f"mailhub:{good.port}", SENDER, ANN)[0] == 75
    assert not good.sessions


def test_a_domain_in_the_hosts_file_is_connected_to_directly(capsys, monkeypatch, tmp_path):
    (tmp_path / "hosts").write_text("127.0.0.1 mail.example.test\n")
    monkeypatch.setattr(hosts.Hosts.__init__, "__defaults__", (str(tmp_path / "hosts"),))
    asked = []
    monkeypatch.setattr(
        blocking,
        "addresses",
        lambda host, port: asked.append((host, port)) or [(socket.AF_INET, "127.0.0.1")],
    )
    monkeypatch.setattr(blocking, "connect", lambda *a: (_ for _ in ()).throw(OSError(111, "refused")))
    assert smtp(capsys, "mail.example.test", SENDER, ANN)[0] == 75
    assert asked == [("mail.example.test", 25)]


def test_json(capsys):
    with Peer({f"RCPT TO:<{BOB}>": [NO_USER]}) as peer:
        status, out, _ = smtp(capsys, "--json", peer.target, SENDER, ANN, BOB)
    assert status == 67
    first, second = map(json.loads, out)
    assert first["recipient"] == ANN and first["action"] == "relayed" and first["code"] == 250
    assert second == {
        "recipient": BOB,
        "action": "failed",
        "status": "5.1.1",
        "code": 550,
        "reply": NO_USER,
        "remote_mta": f"[127.0.0.1]:{peer.port}",
        "uncertain": False,
    }


def test_the_dialogue_has_arrows(capsys):
    with Peer() as peer:
        status, out, err = smtp(capsys, "-v", "-h", "me.example.org", peer.target, SENDER, ANN)
    assert status == 0 and len(out) == 1
    lines = err.splitlines()
    assert lines[0] == f"== connecting to [127.0.0.1]:{peer.port}"
    assert lines[1] == "<- 220 peer ESMTP"
    assert "-> EHLO me.example.org" in lines and "<- 250-PIPELINING" in lines
    assert f"-> RCPT TO:<{ANN}>" in lines
    assert "-> (23 octets of content)" in lines
    assert lines[-2:] == ["-> QUIT", "<- 221 2.0.0 bye"]
    assert all(line[:3] in ("== ", "-> ", "<- ") for line in lines)


def test_helo_as_in_1986(capsys):
    with Peer() as peer:
        assert smtp(capsys, "-herewhon.peter.edu", peer.target, SENDER, ANN)[0] == 0
    assert peer.sessions[0][0] == "EHLO erewhon.peter.edu"


def test_helo_where_ehlo_is_not_known(capsys):
    with Peer({"EHLO": ["502 5.5.1 what?"]}) as peer:
        assert smtp(capsys, peer.target, SENDER, ANN)[0] == 0
    assert peer.said()[:2] == ["EHLO", "HELO"]
    assert peer.sessions[0][2] == f"MAIL FROM:<{SENDER}>"


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\r\nb\n", b"a\r\nb\r\n"),
        (b"no end", b"no end\r\n"),
        (b"", b""),
        (b"\n", b"\r\n"),
        (b".\n..\n.x\n", b".\r\n..\r\n.x\r\n"),
        (b"a\n.", b"a\r\n.\r\n"),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n.\r\nQUIT\r\n"),
        ("grüß\n".encode(), "grüß\r\n".encode()),
    ],
)
def test_lines_go_as_crlf_and_dots_arrive(capsys, message, wire):
    """DAT-1: dot-stuffing is transparent, and every line ends in CRLF."""
    assert sent(capsys, message) == wire


def test_only_what_was_offered_is_said(capsys):
    """CLI-3."""
    with Peer() as peer:
        smtp(capsys, peer.target, SENDER, ANN, message="ü\n".encode())
    assert peer.sessions[0][1] == f"MAIL FROM:<{SENDER}> SIZE=4 BODY=8BITMIME"
    with Peer(offer=()) as peer:
        smtp(capsys, peer.target, SENDER, ANN)
    assert peer.sessions[0][1] == f"MAIL FROM:<{SENDER}>"


def test_a_message_too_large_for_the_server_is_not_sent(capsys):
    with Peer(offer=("SIZE 10",)) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN)
    assert status == 69
    assert "up to 10 octets" in out[0]
    assert "MAIL" not in peer.said()


@pytest.mark.parametrize("message", [b"a\0b\n", b"a\rb\n", b"a\r", b"x" * 70_000 + b"\r\rx\n"])
def test_what_cannot_be_sent_is_65(capsys, message):
    with Peer() as peer:
        status, out, err = smtp(capsys, peer.target, SENDER, ANN, message=message)
    assert (status, out) == (65, [])
    assert err.startswith("smtp: the message holds a ") and err.count("\n") == 1
    assert not peer.sessions


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("mailhub",),
        ("mailhub", SENDER),
        ("", SENDER, ANN),
        ("mail hub", SENDER, ANN),
        ("mailhub:99999", SENDER, ANN),
        ("mailhub\r\nQUIT", SENDER, ANN),
        ("unix:relative", SENDER, ANN),
        ("mailhub", "no-domain", ANN),
        ("mailhub", "a@b.test>\r\nRCPT TO:<x@y.test", ANN),
        ("-h", "me\r\nMAIL FROM:<x@y.test>", "mailhub", SENDER, ANN),
        ("-h", "two words", "mailhub", SENDER, ANN),
        ("-h", "", "mailhub", SENDER, ANN),
        ("-h", "müll.test", "mailhub", SENDER, ANN),
        ("-h",),
        ("--nonsense", "mailhub", SENDER, ANN),
        ("-x", "mailhub", SENDER, ANN),
        ("--json=yes", "mailhub", SENDER, ANN),
    ],
)
def test_wrong_arguments_are_64_and_one_line(capsys, argv):
    """CLI-5, CLI-12: nothing in the arguments becomes a command of its own."""
    status, out, err = smtp(capsys, *argv)
    assert (status, out) == (64, [])
    assert err.startswith("smtp: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "recipient",
    [
        "nobody",
        "",
        "<>",
        "a@b.test\r\nDATA",
        "a@b.test> SIZE=1",
        "a\n@b.test",
        '"a\rb"@b.test',
        "a\0@b.test",
    ],
)
def test_a_wrong_recipient_is_67_and_one_line(capsys, recipient):
    """CLI-5, CLI-12: nothing in it becomes a command of its own, or a line of the outcomes."""
    with Peer() as peer:
        status, out, err = smtp(capsys, peer.target, SENDER, recipient)
        assert (status, len(out), err) == (67, 1, "")
        assert ": failed (553 5.1.3 " in out[0]
        assert not peer.sessions


@pytest.mark.parametrize("sender", ["", "<>"])
def test_the_null_reverse_path(capsys, sender):
    with Peer() as peer:
        assert smtp(capsys, peer.target, sender, ANN)[0] == 0
    assert peer.sessions[0][1].startswith("MAIL FROM:<> ")


def test_a_recipient_may_begin_with_a_hyphen(capsys):
    with Peer() as peer:
        assert smtp(capsys, peer.target, SENDER, "-v@example.net")[0] == 0
    assert peer.messages[0].recipients == ["-v@example.net"]


def test_more_than_a_hundred_recipients(capsys):
    many = [f"u{number}@example.net" for number in range(230)]
    with Peer({"RCPT TO:<u150@example.net>": [NO_USER]}) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, *many)
    assert status == 67
    assert [line.partition(":")[0] for line in out] == many
    assert [len(taken.recipients) for taken in peer.messages] == [100, 99, 30]
    assert len(peer.sessions) == 1


def test_a_session_lost_between_transactions(capsys):
    many = [f"u{number}@example.net" for number in range(150)]
    with Peer({"MAIL": ["250 ok", CLOSE]}) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, *many)
    assert status == 75
    assert [line.split()[1] for line in out] == ["relayed"] * 100 + ["delayed"] * 50


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_lmtp_has_a_reply_for_each_recipient(capsys, kind, tmp_path):
    """RFC 2033."""
    replies = {".": ["250 2.0.0 done", "452 4.2.2 full", NO_USER]}
    where = {"unix": str(tmp_path / "lmtp")} if kind == "unix" else {"lmtp": True}
    with Peer(replies, **where) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN, BOB, CAT)
    assert status == 75
    assert [line.split()[1] for line in out] == ["delivered", "delayed", "failed"]
    assert peer.said()[0] == "LHLO"
    assert [taken.recipients for taken in peer.messages] == [[ANN]]


def test_lmtp_lost_after_the_first_reply(capsys):
    with Peer({".": ["250 2.0.0 done", CLOSE]}, lmtp=True) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN, BOB)
    assert status == 75
    assert out[0].startswith(f"{ANN}: delivered")
    assert out[1].startswith(f"{BOB}: delayed") and out[1].endswith("may have been delivered")


def test_an_address_in_utf8(capsys):
    """RFC 6531: SMTPUTF8 is said when it is needed, and only where it is offered."""
    with Peer(offer=("SMTPUTF8", "8BITMIME")) as peer:
        assert smtp(capsys, peer.target, SENDER, "jürgen@example.net")[0] == 0
    assert peer.sessions[0][1].endswith(" SMTPUTF8")
    with Peer() as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, "jürgen@example.net")
    assert status in (65, 69) and "internationalized" in out[0]


def test_without_sysexits_every_failure_is_one(capsys, monkeypatch):
    with Peer({"RCPT": [NO_USER]}) as peer:
        assert smtp(capsys, "--no-sysexits", peer.target, SENDER, ANN)[0] == 1
        monkeypatch.setenv("NOSYSEXITS", "1")
        assert smtp(capsys, peer.target, SENDER, ANN)[0] == 1
        assert smtp(capsys, "nonsense")[0] == 1


def _process(peer, message, *, limit=None, environ=None):
    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    return subprocess.run(
        [BIN / "smtp", peer.target, SENDER, ANN],
        input=message,
        capture_output=True,
        preexec_fn=limited if limit else None,
        env={**os.environ, **(environ or {})},
        timeout=60,
    )


def test_a_large_message_takes_no_more_memory(tmp_path):
    """24 MiB go through a process that may have 16 MiB."""
    message = (b"x" * 99 + b"\n") * 250_000
    with Peer() as peer:
        done = _process(peer, message, limit=16 << 20, environ={"TMPDIR": str(tmp_path)})
    assert done.stderr == b"" and done.returncode == 0
    assert peer.messages[0].content == message.replace(b"\n", b"\r\n")
    assert not list(tmp_path.glob("mether-*"))


def test_a_real_process():
    with Peer({"RCPT": [NO_USER]}) as peer:
        done = _process(peer, MESSAGE)
    assert done.returncode == 67
    assert done.stdout.decode() == f"{ANN}: failed ({NO_USER})\n"
    assert done.stderr == b""


def test_content_is_converted_where_eight_bits_are_not_taken(capsys):
    """8BM-2: MIME content in quoted-printable; what cannot be converted is told of with status 65."""
    head = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
    for count in (1, 20_000):
        got = sent(capsys, head + "Viele Grüße an alle dort\n".encode() * count, offer=())
        assert got.endswith(b"\r\n\r\n" + b"Viele Gr=C3=BC=C3=9Fe an alle dort\r\n" * count)
        assert b"Content-Transfer-Encoding: quoted-printable\r\n" in got
    with Peer(offer=()) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN, message="Subject: grüß\n\nx\n".encode())
    assert status == 65 and "5.6.3" in out[0] and not peer.messages


def test_announced_limits_are_kept_to(capsys):
    """EXT-4: RCPTMAX bounds the recipients of a transaction."""
    with Peer(offer=("LIMITS RCPTMAX=2",)) as peer:
        status, out, _ = smtp(capsys, peer.target, SENDER, ANN, BOB, CAT)
    assert status == 0 and len(out) == 3
    assert [one.recipients for one in peer.messages] == [[ANN, BOB], [CAT]]


def test_the_next_host_may_have_the_extension(capsys, monkeypatch):
    """QUE-10, EAI-5: an address in UTF-8 goes to the host that takes it."""
    with Peer(host="127.0.0.1") as old, Peer(host="127.0.0.2", port=old.port, offer=("SMTPUTF8",)) as new:
        found = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")]
        monkeypatch.setattr(blocking, "addresses", lambda *_: found)
        target = f"mx.example.net:{old.port}"
        status, out, _ = smtp(capsys, target, SENDER, "jürgen@example.net")
        assert status == 0, out
        assert [one.recipients for one in new.messages] == [["jürgen@example.net"]]
        monkeypatch.setattr(blocking, "addresses", lambda *_: found[:1])
        status, out, _ = smtp(capsys, target, SENDER, "jürgen@example.net")
    assert status == 65 and "5.6.7" in out[0] and not old.messages
