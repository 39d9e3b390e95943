"""The listening sockets of a configuration: opened together, kept, and closed with an answer."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mether.event import mail as event
from mether.setup import config as config_
from mether.setup import places
from mether.setup.listen import Listen

Places = dict[tuple[str, int], places.Place]


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The events that happen."""
    names: list[str] = []

    def sink(name: str, fields: object) -> None:
        names.append(name)

    event.sinks.append(sink)
    yield names
    event.sinks.remove(sink)


def listens(*addresses: str, more: str = "") -> tuple[Listen, ...]:
    text = "".join(f'[[listen]]\naddress = "{one}"\n{more}\n' for one in addresses)
    return config_.loads(text, environ={}).listen


def end(*those: Places) -> None:
    for each in those:
        for place in each.values():
            place.end()


def test_only_what_is_new_is_opened(told: list[str]) -> None:
    """Any free port may be asked for twice; what stays keeps its sockets."""
    first = places.opened(listens("127.0.0.1:0", "127.0.0.1:0"), {}, 2)
    assert list(first) == [("127.0.0.1:0", 0), ("127.0.0.1:0", 1)]
    assert first["127.0.0.1:0", 0].addresses != first["127.0.0.1:0", 1].addresses
    newer = listens("127.0.0.1:0", "[::1]:0")
    second = places.opened(newer, first, 2)
    assert list(second) == [("[::1]:0", 0)]
    now = places.kept(first, second, newer)
    assert list(now) == [("127.0.0.1:0", 0), ("[::1]:0", 0)]
    assert now["127.0.0.1:0", 0] is first["127.0.0.1:0", 0]
    end(first, second)


def test_what_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(places.CannotListen) as caught:
            places.opened(listens(f"unix:{path}", address), {}, 1)
    assert str(caught.value) == f"cannot listen on {address}: address already in use"
    assert not path.exists()


def test_who_waits_is_answered_at_the_end(told: list[str]) -> None:
    """RFC 5321 section 3.8"""
    made = places.opened(listens("127.0.0.1:0"), {}, 2)
    (place,) = made.values()
    clients = [socket.create_connection(place.sockets[0][0].getsockname()) for _ in range(6)]
    end(made)
    for client in clients:
        with client:
            assert client.recv(100).startswith(b"421 4.3.2 ")
    assert told == ["rejected"] * 6


def test_a_unix_socket_is_shared_and_its_mode_can_change(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    made = places.opened(listens(f"unix:{path}"), {}, 3)
    (place,) = made.values()
    assert place.sockets[0] == place.sockets[2]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    (newer,) = listens(f"unix:{path}", more='socket_mode = "0600"')
    place.adopt(newer)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    mine = place.forget(1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        mine[0].accept()[0].close()
    mine[0].close()
    place.end()
    assert not path.exists()


def test_a_worker_lets_go_of_the_sockets_of_the_others() -> None:
    made = places.opened(listens("127.0.0.1:0"), {}, 3)
    (place,) = made.values()
    all_of_them = [sock for mine in place.sockets for sock in mine]
    (mine,) = place.forget(1)
    assert [sock.fileno() < 0 for sock in all_of_them] == [True, False, True]
    mine.close()
