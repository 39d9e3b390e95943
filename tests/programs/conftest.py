"""A queue of each kind in a directory of its own, which the programs of a test find by themselves."""

import os
import sys
import time

import pytest

from mether.event import mail as event
from mether.queue.open import open_store

SUPPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

import queues  # noqa: E402


@pytest.fixture(autouse=True)
def _present(request, monkeypatch):
    """Queues are filled as of the beginning of each test: their import may have been long before."""
    imported, now = queues.NOW, time.time()
    monkeypatch.setattr(queues, "NOW", now)
    if getattr(request.module, "NOW", None) == imported:
        monkeypatch.setattr(request.module, "NOW", now)


@pytest.fixture(autouse=True)
def _sinks(monkeypatch):
    """Whom a program has told of events is not told any more when its test is over."""
    monkeypatch.setattr(event, "sinks", list(event.sinks))


@pytest.fixture(params=["sqlite", "directory"])
def url(request, tmp_path, monkeypatch):
    """The URL of a queue that does not exist yet, in $METHER_SPOOL; no configuration is in the way."""
    monkeypatch.setattr("mether.setup.locate.SYSTEM", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NOSYSEXITS", raising=False)
    monkeypatch.delenv("METHER_CONFIG", raising=False)
    url = f"{request.param}:{tmp_path / 'spool'}"
    monkeypatch.setenv("METHER_SPOOL", url)
    return url


@pytest.fixture
def store(url):
    """That queue, opened."""
    store = open_store(url, now=time.time())
    yield store
    store.close()
