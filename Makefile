# mether: what a person types.  Needs Python 3.11 or newer, git and make; everything else is installed
# into .venv.  Stamp files in .venv keep a repeated make quick; a changed pyproject.toml installs again.
#
#   make run     start the service on 127.0.0.1:2525, with its configuration, queue and mail under var/
#   make test    run the tests
#   make check   lint, format, types, layers, that tests mirror the tree, and that what is made in docs is current
#   make peers   unpack the real mail programs that the system tests talk to, under .peers/ (Debian)
#   make conformance   drive a conformance suite, where there is one in $CONFORMANCE: tools/conformance.py
#   make torture   a million messages through random faults, by several processes (TORTURE_ARGS): docs/reliability.md
#   make soak    mail for destinations of every kind, as root (SOAK_ARGS): docs/reliability.md
#   make fuzz    fuzz the parsers and protocol machines, FUZZ_SECONDS each (default 300; Python below 3.14)
#   make guard   fail when a message costs much more CPU time than was recorded (some seconds)
#   make bench   mether beside Postfix, Exim and OpenSMTPD, all measures (25 minutes, as root, after make peers)
#   make bench-relay-kept, bench-latency ...   one of them; make performance writes docs/performance.md anew
#   make bench-receive, bench-idle, bench-tls, bench-startup, bench-routing   the other measurements: see bench/README.md
#   make clean   remove all of that, but never var/, which may hold mail

SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
CONFIG := var/mether.toml
PYTEST_ARGS ?=

# Whoever calls make may have an environment of their own active; this one must not depend on it.
# PYTHONDONTWRITEBYTECODE would double every program's start-up time.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PYTHONSAFEPATH
unexport PYTHONWARNINGS PYTHONOPTIMIZE PYTHONUSERBASE VIRTUAL_ENV CONDA_PREFIX PIP_USER PIP_TARGET
unexport PIP_REQUIRE_VIRTUALENV PIP_NO_COMPILE METHER_CONFIG METHER_SPOOL NOSYSEXITS
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: help run install test check conformance peers torture soak fuzz clean
.PHONY: guard bench performance bench-receive bench-idle bench-tls bench-startup bench-routing

help:
	@sed -n 's/^#   //p' Makefile

# The first Python that is new enough; PYTHON=... chooses another.
$(VENV)/.made:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    "$$python" tools/environment.py $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "make: found no Python 3.11 or newer; say which one with: make PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/.core: $(VENV)/.made pyproject.toml
	$(PY) -m pip install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.test: $(VENV)/.core
	$(PY) -m pip install --quiet --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.core
	$(PY) -m pip install --quiet --group lint
	@touch $@

# pip compiles what it installs, but not an editable package: without this a service started by
# another user compiles at every start.
install: $(VENV)/.core
	@$(PY) -m compileall -q src

$(CONFIG): | install
	@mkdir -p $(@D)
	@$(VENV)/bin/mether config --write-default $@

define NEXT

Starting the service on 127.0.0.1:2525.  Stop it with Control-C.  In another terminal, here:

  printf 'Subject: hi\n\nhello\n' | $(VENV)/bin/smtp 127.0.0.1:2525 you@example.test friend@example.test
  cat var/mail/friend/new/*              the message, delivered
  $(VENV)/bin/smtpq -C $(CONFIG)     what is queued
  less $(CONFIG)                    the configuration

endef

run: install $(CONFIG)
	$(info $(NEXT))
	@exec $(VENV)/bin/smtpd -C $(CONFIG)

test: install $(VENV)/.test
	$(PY) -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

$(VENV)/.fuzz: $(VENV)/.core
	$(PY) -m pip install --quiet --group fuzz
	@touch $@

fuzz: install $(VENV)/.fuzz
	$(PY) fuzz/run.py $(FUZZ_TARGETS)

torture: install $(VENV)/.test
	METHER_STEPS=1 METHER_KILLS=20 $(PY) -m pytest -n 2 tests/crash
	$(PY) tests/torture/powercut_load.py
	$(PY) tests/torture/run.py --long-stops $(TORTURE_ARGS)

soak: install $(VENV)/.test
	$(PY) tests/soak/run.py $(SOAK_ARGS)
	$(PY) tests/soak/run.py --workers 2 --kill $(SOAK_ARGS)

check: install $(VENV)/.test $(VENV)/.lint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) tools/mirror.py
	$(PY) tools/checklist.py --check
	$(PY) tools/confusion.py --check

conformance: install
	$(PY) tools/conformance.py $(CONFORMANCE_ARGS)

peers: $(VENV)/.made
	$(PY) tests/system/peers.py

guard: install
	$(PY) bench/guard.py

bench: install
	$(PY) bench/run.py $(BENCH_ARGS); status=$$?; $(PY) bench/document.py && exit $$status

bench-%: install
	$(PY) bench/run.py $* $(BENCH_ARGS)

performance: install
	$(PY) bench/document.py

# What these measure beside smtpd, aiosmtpd and uvloop, comes with the tests.
bench-receive: install $(VENV)/.test
	$(PY) bench/receive.py

bench-idle: install $(VENV)/.test
	$(PY) bench/idle.py --tls

bench-tls: install $(VENV)/.test
	$(PY) bench/relay.py --tls

bench-startup: install
	$(PY) bench/startup.py

bench-routing: install
	$(PY) bench/routing.py

clean:
	rm -rf $(VENV) .peers build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +
