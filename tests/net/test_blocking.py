"""A connection on a blocking socket: addresses, time-outs, and what comes when the peer is gone."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from peer import closed_port

from mether.net import blocking

LOOPBACK = [(socket.AF_INET, "127.0.0.1")]


def connected() -> tuple[blocking.Blocking, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = blocking.connect(LOOPBACK, listener.getsockname()[1], 30)
        peer, _ = listener.accept()
    return made, peer


def test_octets_and_their_end() -> None:
    made, peer = connected()
    with peer:
        assert (made.address, made.local) == ("127.0.0.1", "127.0.0.1")
        made.send(b"hello", 30)
        assert peer.recv(100) == b"hello"
        peer.sendall(b"world")
        assert made.receive(30) == b"world"
        peer.shutdown(socket.SHUT_WR)
        assert made.receive(30) == b""
        made.send(b"still here", 30)  # only its side has ended
        assert peer.recv(100) == b"still here"
        made.close()
        made.close()  # twice is no error
        assert peer.recv(100) == b""


def test_nothing_waits_for_more() -> None:
    """Small writes go out at once (TCP_NODELAY): nobody waits 40 ms for an acknowledgement."""
    made, peer = connected()
    with peer, socket.socket(fileno=made._socket.detach()) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.get_inheritable()


def test_much_at_once() -> None:
    """All of it is sent, however little the peer takes at a time."""
    data = bytes(range(256)) * 20_000
    made, peer = connected()
    taken = bytearray()

    def read() -> None:
        while piece := peer.recv(10_000):
            taken.extend(piece)

    thread = threading.Thread(target=read)
    thread.start()
    made.send(data, 30)
    made.close()
    thread.join()
    peer.close()
    assert taken == data


def test_time_outs() -> None:
    """TMO-1: a silent peer, and one that takes nothing."""
    made, peer = connected()
    with peer:
        with pytest.raises(TimeoutError):
            made.receive(0.01)
        with pytest.raises(TimeoutError):
            made.send(b"x" * 50_000_000, 0.05)
        made.close()


def test_a_reset() -> None:
    made, peer = connected()
    made.send(b"unread", 30)
    peer.close()  # with unread octets: a reset
    with pytest.raises(ConnectionResetError):
        made.receive(30)
    made.close()


def test_the_first_address_that_answers() -> None:
    """RFC 5321 section 5.1: each address in its order."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        made = blocking.connect([(socket.AF_INET, "127.9.9.9"), *LOOPBACK], port, 30)
        assert made.address == "127.0.0.1"
        made.close()


def test_no_address_answers() -> None:
    """What the last one said."""
    with pytest.raises(ConnectionRefusedError):
        blocking.connect(LOOPBACK * 2, closed_port(), 30)
    with pytest.raises(OSError, match="no address"):
        blocking.connect([], 25, 30)


def test_addresses() -> None:
    assert blocking.addresses("127.0.0.1", 25) == LOOPBACK
    assert blocking.addresses("::1", 25) == [(socket.AF_INET6, "::1")]
    with pytest.raises(OSError, match=r".+"):
        blocking.addresses("nothing.invalid", 25)


def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "here")
    with pytest.raises(FileNotFoundError):
        blocking.connect_unix(path, 30)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        made = blocking.connect_unix(path, 30)
        peer, _ = listener.accept()
        with peer:
            assert (made.address, made.local) == (path, "")
            made.send(b"hello", 30)
            assert peer.recv(100) == b"hello"
        made.close()


def test_what_it_imports() -> None:
    """A one-shot program pays for nothing that it does not use."""
    code = (
        "import sys, mether.net.blocking; print(*{'asyncio', 'socket', 'ssl', 'selectors'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
