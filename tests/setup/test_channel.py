"""Messages and sockets between a parent and its worker."""

import os
import socket
import threading

import pytest

from mether.setup import channel


def test_messages_come_whole_and_in_order():
    one, other = channel.pair()
    one.send(("prepare", {"a": 1}))
    one.send(("stop",))
    assert other.receive() == ([("prepare", {"a": 1}), ("stop",)], True)
    assert other.receive() == ([], True)
    one.close()
    assert other.receive() == ([], False)
    other.close()


def test_a_message_larger_than_the_kernel_takes_at_once():
    one, other = channel.pair()
    sent = threading.Thread(target=one.send, args=(("big", b"x" * 2_000_000),))
    sent.start()
    found = []
    while not found:
        found, there = other.receive()
        assert there
    sent.join()
    assert found == [("big", b"x" * 2_000_000)]
    one.close()
    other.close()


def test_sockets_go_along_with_their_message():
    """More than the kernel takes in one message of its own, and each with the right one."""
    one, other = channel.pair()
    listening = socket.create_server(("127.0.0.1", 0))
    one.send(("none",))
    one.send(("many", 1), [listening] * 450)
    one.send(("one",), [listening])
    messages = []
    while len(messages) < 3:
        messages += other.receive()[0]
    assert messages[0] == ("none",)
    assert messages[1][:2] == ("many", 1) and len(messages[1][2]) == 450
    (last,) = messages[2][1]
    address = listening.getsockname()
    listening.close()
    for sock in messages[1][2]:
        assert not os.get_inheritable(sock.fileno())
        sock.close()
    with socket.create_connection(address):
        last.accept()[0].close()  # it still listens: the other end has it
    last.close()
    one.close()
    other.close()


def test_nothing_is_sent_after_half_a_message(monkeypatch):
    """It would be taken for the rest of it."""
    monkeypatch.setattr(channel, "SECONDS", 0.05)
    one, other = channel.pair()
    with pytest.raises(TimeoutError):
        one.send(("big", b"x" * 2_000_000))
    with pytest.raises(BrokenPipeError):
        one.send(("stop",))
    assert other.receive() == ([], True)
    other.send(("alive",))
    assert one.receive() == ([("alive",)], True), "what it says is heard all the same"
    one.close()
    other.close()


def test_sockets_of_half_a_message_are_closed():
    one, other = channel.pair()
    before = len(os.listdir("/proc/self/fd"))
    listening = socket.create_server(("127.0.0.1", 0))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, listening.fileno().to_bytes(4, "little"))]
    one._sock.sendmsg([b"\0"], rights)
    assert other.receive() == ([], True)
    other.close()
    one.close()
    listening.close()
    assert len(os.listdir("/proc/self/fd")) == before - 2
