"""A way for an MTA to run our programs, whoever it runs them as.

Postfix's pipe(8) and Exim's pipe transport never run a command as root, and the account they use may
not be able to reach a checkout under root's home.  So the command they run is a few lines of perl (which
every Debian has) that hand argument vector and standard input to a socket; the tests' side runs the real
program with them and hands back its output and exit status, which is then the command's own.  What the MTA
passes and what it makes of the answer is as if it had run the program itself.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

SCRIPT = """\
#!/usr/bin/perl
use IO::Socket::UNIX;
my $s = IO::Socket::UNIX->new(Peer => "%s") or exit 75;
local $/; binmode STDIN; my $in = <STDIN>;
my $args = join("\\0", @ARGV);
print $s pack("NN", length($args), length($in)), $args, $in; $s->flush;
my $out = <$s>;
my $status = ord(substr($out, 0, 1));
print substr($out, 1);
exit $status;
"""


class Door:
    """`script(path)` makes a command that MTAs may run; `calls` lists (argument vector, input) so far."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="door-"))
        self.base.chmod(0o755)
        self.calls: list[tuple[list[str], bytes]] = []
        self._servers: list[socket.socket] = []

    def script(self, program: str, *, environment: dict[str, str] | None = None) -> str:
        """A command that runs `program` with its arguments and input."""

        def run(arguments: list[str], content: bytes) -> tuple[int, bytes]:
            done = subprocess.run(
                [program, *arguments],
                input=content,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                check=False,
            )
            return done.returncode & 0xFF, done.stdout

        return self._open(Path(program).name, run)

    def close(self) -> None:
        """Take the commands away."""
        for server in self._servers:
            server.close()
        shutil.rmtree(self.base, ignore_errors=True)

    def _open(self, name: str, run: Callable[[list[str], bytes], tuple[int, bytes]]) -> str:
        path = str(self.base / f"{name}.socket")
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        os.chmod(path, 0o777)
        server.listen()
        self._servers.append(server)
        threading.Thread(target=self._serve, args=(server, run), daemon=True).start()
        script = self.base / name
        script.write_text(SCRIPT % path)
        script.chmod(0o755)
        return str(script)

    def _serve(self, server: socket.socket, run: Callable[[list[str], bytes], tuple[int, bytes]]) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # closed
            with connection, connection.makefile("rwb") as stream:
                first, second = struct.unpack("!II", stream.read(8))
                arguments = stream.read(first).decode().split("\0")
                content = stream.read(second)
                self.calls.append((arguments, content))
                status, output = run(arguments, content)
                stream.write(bytes([status]) + output)
