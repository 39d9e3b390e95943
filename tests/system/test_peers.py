"""The peers themselves: each runs here as the other tests need it to, before anything of ours is blamed."""

from __future__ import annotations

from peers import until


def test_smtp_source_reaches_smtp_sink(smtp_source, smtp_sink):
    sink = smtp_sink()
    smtp_source("-m", "3", "-f", "a@example.test", "-t", "b@example.net", f"127.0.0.1:{sink.port}")
    assert len(sink.messages()) == 3
    assert "X-Mail-Args: <a@example.test>" in sink.messages()[0]


def test_swaks_msmtp_and_curl_reach_smtp_sink(swaks, msmtp, curl, smtp_sink, tmp_path):
    sink = smtp_sink()
    swaks("--server", f"127.0.0.1:{sink.port}", "--from", "a@example.test", "--to", "b@example.net")
    message = b"Subject: hello\n\nhello\n"
    msmtp(
        "--host=127.0.0.1", f"--port={sink.port}", "--from=a@example.test", "b@example.net", content=message
    )
    (tmp_path / "message").write_bytes(message.replace(b"\n", b"\r\n"))
    mail = ("--mail-from", "a@example.test", "--mail-rcpt", "b@example.net")
    curl("-sS", f"smtp://127.0.0.1:{sink.port}", *mail, "-T", str(tmp_path / "message"))
    assert len(sink.messages()) == 3


def test_postfix_relays_to_smtp_sink(smtp_source, smtp_sink, postfix):
    sink = smtp_sink()
    mta = postfix(f"relayhost = [127.0.0.1]:{sink.port}\n")
    smtp_source("-m", "5", "-f", "a@example.test", "-t", "b@example.net", f"127.0.0.1:{mta.port}")
    until(lambda: len(sink.messages()) == 5 and mta.queued() == 0)
    assert mta.log().count("status=sent") == 5


def test_exim_runs_a_command_with_the_message(exim, door, tmp_path):
    mta = exim(f"  command = {door.script('/bin/sh')} -c 'cat >{tmp_path}/got; exit 0'\n")
    mta.deliver("a@example.test", "b@example.net", content=b"Subject: hello\n\nhello\n")
    assert " => " in mta.log(), mta.log()
    assert "Subject: hello" in (tmp_path / "got").read_text()
    assert mta.queued() == 0
