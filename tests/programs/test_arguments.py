"""Whatever a program is given, it ends with a status and no traceback; wrong arguments are one line."""

import importlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peer import fed

from mether.event import mail as event

PROGRAMS = (
    *("smtp", "in_smtpd", "smtpqer", "runsmtpq", "smtpq"),
    *("cleansmtpq", "returnsmtpmail", "sendmail", "mether", "newaliases"),
)
WORDS = st.sampled_from(
    ["-h", "-n", "-v", "--json", "--all", "--key", "--at", "--dry-run", "--next-hop", "-d", "-t", "-f", "-q",
     "-bp", "--help", "--version", "--", "-", "", "show", "cat", "export", "hold", "config", "route",
     "reroute", "--rules", "mx", "--plain", "import", "--from", "exim", "--force",
     "explain", "suspend", "resume", "hops", "shape", "check", "--for", "--until", "--deferred", "--top",
     "1,2", "--check", "<>", "a@b.test", "@", "\r\nQUIT", "7f000001.25", "--older", "9" * 30, "-1", "nan",
     "\udcff", "ü", "0RQD9T0XK3ANZ", "unix:/nonexistent/socket", "lmtp:", "[", "[::1]:1", "127.0.0.1:1",
     "--no-sysexits", "--spool", "memory:"]
)  # fmt: skip


@pytest.fixture
def main(monkeypatch, tmp_path):
    monkeypatch.setenv("METHER_SPOOL", f"sqlite:{tmp_path / 'spool'}")
    monkeypatch.setenv("METHER_CONFIG", "")
    monkeypatch.delenv("METHER_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mether.programs.behind.start", lambda url, config, spool: None)
    kept = list(event.sinks)

    def run(name, argv):
        with fed(b"To: a@b.test\n\nHello.\n"):
            return importlib.import_module(f"mether.programs.{name}").main(argv)

    yield run
    event.sinks[:] = kept


@pytest.mark.parametrize("name", PROGRAMS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(argv=st.lists(WORDS | st.text(max_size=8), max_size=6))
def test_any_arguments(main, capfd, name, argv):
    # A daemon would stay, an EHLO to a name would ask the DNS: neither is what is shown here.
    if "--daemon" in argv:
        argv.remove("--daemon")
    if name in ("smtp", "smtpqer"):
        argv = [word if "." not in word or "@" in word or ":" in word else "127.0.0.1:1" for word in argv]
    capfd.readouterr()
    status = main(name, argv)
    out, err = capfd.readouterr()
    # 3 is how a plugin for monitoring says that the queue cannot be read.
    assert status in (0, 1, *range(64, 79)) or (name == "smtpq" and status == 3)
    assert status != 70, err
    assert "Traceback" not in out + err
    if status == 64:
        assert err.count("\n") == 1


@pytest.mark.parametrize("name", [*PROGRAMS, "smtpd"])
def test_help_and_version(main, capfd, name):
    for word in ("--help", "--version"):
        assert main(name, [word]) == 0
        out, err = capfd.readouterr()
        assert out and not err


@pytest.mark.parametrize("name", [*PROGRAMS, "smtpd"])
def test_an_unknown_option(main, capfd, name):
    assert main(name, ["--nonsense"]) == 64
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"{name.replace('_', '.')}: unknown option --nonsense")
