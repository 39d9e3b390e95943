"""Fuzz one target, or all of them one after the other, with atheris (libFuzzer).

    python fuzz/run.py [TARGET ...]      each for FUZZ_SECONDS (default 300)

A target is target_NAME.py here: `check(octets)`, which raises where its invariant (the first line of its
docstring) does not hold.  Seeds lie in corpus/NAME.  What is found is written to regressions/NAME, where
`tests/fuzz/test_targets.py` runs it ever after.  What libFuzzer learns between runs is kept in
../var/fuzz/NAME.  The exit status is 1 when anything was found.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
TARGETS = sorted(path.stem.removeprefix("target_") for path in HERE.glob("target_*.py"))


def load(name: str) -> ModuleType:
    """The target of that name."""
    path = HERE / f"target_{name}.py"
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inputs(name: str) -> list[Path]:
    """The seeds of a target and what was found with it."""
    return sorted(path for kind in ("corpus", "regressions") for path in (HERE / kind / name).glob("*"))


def fuzz(name: str, seconds: int) -> None:
    """Fuzz in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["mether"]):
        module = load(name)
    learnt = HERE.parent / "var" / "fuzz" / name
    learnt.mkdir(parents=True, exist_ok=True)
    found = HERE / "regressions" / name
    found.mkdir(parents=True, exist_ok=True)
    seeds = [str(path) for path in (HERE / "corpus" / name, found) if path.is_dir()]
    atheris.Setup(
        [
            name,
            f"-max_total_time={seconds}",
            f"-artifact_prefix={found}/",
            f"-dict={HERE / 'words.dict'}",
            "-timeout=10",
            "-max_len=2048",
            "-print_final_stats=1",
            "-verbosity=0",
            str(learnt),
            *seeds,
        ],
        module.check,
    )
    atheris.Fuzz()


def main() -> int:
    """Each target in a process of its own, as libFuzzer never returns."""
    seconds = int(os.environ.get("FUZZ_SECONDS", "300"))
    if len(sys.argv) == 3 and sys.argv[1] == "--here":
        fuzz(sys.argv[2], seconds)
    status = 0
    for name in sys.argv[1:] or TARGETS:
        if name not in TARGETS:
            print(f"fuzz: no target {name!r}; there are: {' '.join(TARGETS)}", file=sys.stderr)
            return 64
        print(f"fuzz: {name} for {seconds} s", flush=True)
        done = subprocess.run([sys.executable, __file__, "--here", name], check=False)
        if done.returncode:
            print(f"fuzz: {name}: a finding, see fuzz/regressions/{name}/", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
