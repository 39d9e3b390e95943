"""What README.md shows in Python runs as it stands there."""

import re
import runpy
from pathlib import Path

import pytest
from peer import Peer

README = Path(__file__).resolve().parent.parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)


def run(tmp_path: Path, text: str) -> None:
    file = tmp_path / "example.py"
    file.write_text(text)
    runpy.run_path(str(file))


def test_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = (block for block in BLOCKS if "ServerProtocol" in block)
    run(tmp_path, text)
    said = capsys.readouterr().out
    assert said.count("250 2.0.0 ok") == 2  # MAIL, and the second RCPT
    assert "501 " in said  # the path that lacks its bracket


def test_a_client(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = (block for block in BLOCKS if "BlockingClient" in block)
    assert '"127.0.0.1", 2525' in text
    with Peer({"RCPT TO:<other@example.test>": ["550 5.1.1 no such user"]}) as peer:
        run(tmp_path, text.replace("2525", str(peer.port)))
    assert capsys.readouterr().out.splitlines() == [
        "friend@example.test 250 2.0.0 taken",
        "other@example.test 550 5.1.1 no such user",
    ]
    (message,) = peer.messages
    assert (message.sender, message.recipients) == ("you@example.test", ["friend@example.test"])
    assert message.content.startswith(b"Subject: hi\r\n\r\nhello\r\n")
