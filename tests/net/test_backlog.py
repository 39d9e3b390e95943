"""Listening sockets for one process and for several, and what waits in their backlog."""

import contextlib
import errno
import select
import socket
import sys

import pytest

from mether.net import backlog

WORDS = b"421 4.3.2 bye\r\n"


@pytest.fixture
def listening():
    """Makes sockets that are closed at the end."""
    made = []

    def make(host="127.0.0.1", port=0, processes=1):
        found = backlog.listening(host, port, 100, processes)
        made.extend(sock for mine in found for sock in mine)
        return found

    yield make
    for sock in made:
        sock.close()


def test_each_process_has_a_socket_of_its_own_at_the_same_port(listening):
    made = listening(processes=3)
    assert [len(mine) for mine in made] == [1, 1, 1]
    assert len({mine[0].getsockname() for mine in made}) == 1
    clients = [socket.create_connection(made[0][0].getsockname()) for _ in range(60)]
    counts = []
    for (sock,) in made:
        counts.append(sum(1 for _ in backlog.dismiss(sock, WORDS)))
    assert sum(counts) == 60
    assert all(counts), "the kernel spreads them"
    for client in clients:
        client.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_where_another_listens_there_is_none(listening, processes):
    """With several processes too, and even if the other would share."""
    for others in (1, 2):
        port = listening(processes=others)[0][0].getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            listening(port=port, processes=processes)
        assert caught.value.errno == errno.EADDRINUSE
        assert backlog.why(caught.value) == "address already in use"


def test_an_address_of_another_host(listening):
    with pytest.raises(OSError, match="assign") as caught:
        listening("192.0.2.1")
    assert backlog.why(caught.value) == "cannot assign requested address"


def test_a_name_that_nobody_knows(listening):
    with pytest.raises(socket.gaierror) as caught:
        listening("no-such-host.invalid")
    assert backlog.why(caught.value)[:1].islower()


def test_those_who_wait_are_answered(listening):
    ((sock,),) = listening()
    clients = [socket.create_connection(sock.getsockname()) for _ in range(5)]
    clients[0].sendall(b"EHLO early.example\r\n")  # before its time, and yet it reads our words
    assert list(backlog.dismiss(sock, WORDS)) == ["127.0.0.1"] * 5
    for client in clients:
        assert client.recv(100) == WORDS
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
        client.close()
    assert list(backlog.dismiss(sock, WORDS)) == []
    sock.close()
    assert list(backlog.dismiss(sock, WORDS)) == []


def test_where_nothing_can_be_said_they_are_let_go(listening):
    ((sock,),) = listening()
    with socket.create_connection(sock.getsockname()) as client:
        assert list(backlog.dismiss(sock, b"")) == ["127.0.0.1"]
        assert client.recv(100) == b""


@pytest.mark.skipif(sys.platform != "linux", reason="by a packet filter of Linux")
def test_nobody_gets_in_behind_our_last_look(listening):
    """RFC 5321 section 3.8: who is not told 421 is refused, not accepted and cut; others at the port are
    not touched."""
    (mine,), (other,) = listening(processes=2)
    assert list(backlog.dismiss(mine, WORDS)) == []
    late = []
    for _ in range(20):
        late.append(socket.socket())
        late[-1].setblocking(False)
        late[-1].connect_ex(mine.getsockname())
    there = [one for one in late if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and _peer(one)]
    assert 0 < len(there) < 20, "the kernel spreads them"
    assert sum(1 for _ in backlog.dismiss(other, WORDS)) == len(there)
    assert list(backlog.dismiss(mine, WORDS)) == []
    mine.close()
    other.close()
    for one in late:
        if one not in there:
            select.select([], [one], [])
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        one.close()


def _peer(sock):
    """Whether it is connected."""
    with contextlib.suppress(OSError):
        return sock.getpeername()
    return None
