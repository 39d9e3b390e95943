"""Make a virtual environment with a pip new enough for this project.

    python3 tools/environment.py .venv

pip 25.1 is the first that knows dependency groups (``--group``), and newer ones write console scripts
that start without importing ``re``.  Where Python has no ensurepip (Debian without python3-venv), the pip
of the system, if there is one, installs pip into the environment.  Fails with one line and status 1.
"""

from __future__ import annotations

import subprocess
import sys
import venv

PIP = "pip>=25.1"


def main(arguments: list[str]) -> int:
    """Make the environment named by the only argument; returns the exit status."""
    if len(arguments) != 1:
        print("usage: environment.py DIRECTORY", file=sys.stderr)
        return 64
    directory = arguments[0]
    python = f"{directory}/bin/python"
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        bundled = False
    else:
        bundled = True
    try:
        venv.EnvBuilder(with_pip=bundled, symlinks=True).create(directory)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"environment.py: cannot make a virtual environment in {directory}: {error}", file=sys.stderr)
        return 1
    install = [python, "-m", "pip"] if bundled else [sys.executable, "-m", "pip", "--python", python]
    if subprocess.call([*install, "install", "--quiet", "--upgrade", PIP]):
        hint = "" if bundled else "; this Python has no ensurepip: on Debian, apt install python3-venv"
        print(f"environment.py: cannot install {PIP} into {directory}{hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
