"""Which loopback addresses are the hosts of a run, so that several runs can go on beside each other.

`claim` takes the first of the networks 127.0.60.0/24 to 127.0.99.0/24 that no other run has: whoever has port
25 of its last address has it.  `NETWORK` is the one of this process; the table (expect.py) reads it when it
is imported.
"""

from __future__ import annotations

import errno
import socket

NETWORK = "127.0.60"

_claimed: list[socket.socket] = []


def claim() -> None:
    """Take a network, for as long as this process lives.  Raises OSError where port 25 may not be bound."""
    global NETWORK
    for third in range(60, 100):
        network = f"127.0.{third}"
        one = socket.socket()
        try:
            one.bind((f"{network}.254", 25))
            one.listen()
        except OSError as error:
            one.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        _claimed.append(one)
        NETWORK = network
        return
    raise OSError("all of 127.0.60.0/24 to 127.0.99.0/24 are taken")
