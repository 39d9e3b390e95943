"""runsmtpq: the runner alone, once through what is due, or as a daemon."""

from __future__ import annotations

import sys
import time

from mether.programs import errors
from mether.programs.options import JSON, Option, Program, UsageError, is_text, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from mether.queue.store import Select
    from mether.runner.run import Runner
    from mether.setup.config import Config

PROGRAM = Program(
    "runsmtpq",
    (
        "[--all | --next-hop NAME | ID...]",
        "--daemon",
        "--dry-run [--at TIME] [--json] [--all | --next-hop NAME | ID...]",
    ),
    """Goes once through the queue and tries what is due; messages named by ID, queued for next hop NAME, or
    with --all everything, are tried whatever their retry time.  Held messages stay.  Where nothing is due, it
    says on a terminal until when what waits does.

    With --dry-run it only says what it would try, delay or return, now or at TIME: +6h from now, the next
    14:30, 2026-01-31T12:00, or a Unix time.

    With --daemon it stays in the foreground and logs on stderr.  SIGTERM ends it in good order; SIGHUP has it
    read its configuration again.""",
    (
        Option("", "daemon", "stay, and try each message when it is due"),
        Option("", "all", "try everything, regardless of time"),
        Option("", "next-hop", "try what is queued for this next hop", value="NAME"),
        Option("", "dry-run", "say what would be done, and change nothing"),
        Option("", "at", "with --dry-run: what would be done then", value="TIME"),
        JSON,
    ),
    exits=(
        (0, "the queue was run, whatever became of the messages"),
        64,
        (66, "there is no queue, a message that was named is not in it, or a next hop is not known"),
        70,
        71,
        75,
        77,
        78,
    ),
    files=(("/var/spool/smtpq", "the queue"),),
    intermixed=True,
)

PAGE = 500


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("runsmtpq", _work, argv)


def run_once(config: str | None, spool: str | None) -> int:
    """Run what is due in this process; returns how many attempts were made.  Raises StoreError."""
    from mether.queue.store import Select
    from mether.setup import config as config_
    from mether.setup import locate

    return _run(config_.load(locate.find_config(config), spool=spool), Select(), quiet=True)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    if given.flag("daemon"):
        import signal

        # Until it can, it must not end for being asked to read its configuration again.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from mether.programs.choice import ident
    from mether.queue.store import Select
    from mether.setup import config as config_
    from mether.setup import locate

    idents = [ident(text) for text in given.operands]
    next_hop = given.text("next-hop")
    if next_hop is not None and not is_text(next_hop):
        raise UsageError("--next-hop: the name is not in the encoding of arguments")
    chosen = sum((given.flag("all"), next_hop is not None, bool(idents)))
    if chosen > 1:
        raise UsageError("--all, --next-hop and ids exclude each other")
    if given.flag("daemon") and (chosen or given.flag("dry-run")):
        raise UsageError("--daemon takes neither --dry-run nor a choice of messages")
    for option in ("at", "json"):
        if given.flag(option) and not given.flag("dry-run"):
            raise UsageError(f"--{option} goes with --dry-run")
    at = time.time()
    if given.flag("at"):
        from mether.programs.moment import moment

        at = moment(given.text("at") or "", at, "--at")

    def load() -> Config:
        return config_.load(locate.find_config(given.text("config")), spool=given.text("spool"))

    config = load()
    select = Select(idents=frozenset(idents) if idents else None, next_hop=next_hop, regardless=bool(chosen))
    if given.flag("daemon"):
        from mether.setup import descriptors, privileges, service, systemd

        descriptors.lift()
        notifier = systemd.taken()
        helper = privileges.leave(config)
        return service.run(service.serve(config, receives=False, load=load, notifier=notifier, helper=helper))
    wrong = _look(config, select, idents, dry=given.flag("dry-run"))
    if given.flag("dry-run"):
        _dry_run(config, select, at, given.flag("json"))
    elif not _run(config, select) and not chosen and sys.stderr.isatty():
        _tell_waiting(config, at)  # cron is not told: nothing to do is no news
    if wrong:
        raise errors.Failure(errors.NOINPUT, wrong)
    return 0


def _look(config: Config, select: Select, idents: list[str], *, dry: bool) -> str:
    """What is not there of what is asked for, "" for nothing; of what is held, say that it stays.

    Makes no queue.  Raises StoreError.
    """
    from mether.programs.choice import missing, pages
    from mether.queue.open import open_store, there
    from mether.queue.store import Filter

    there(config.queue.spool)
    if not idents and select.next_hop is None:
        return ""
    store = open_store(config.queue.spool, now=time.time(), create=False)
    store.runs = False
    try:
        unknown = missing(store, idents)
        if select.next_hop is not None and not store.hops(select.next_hop):
            return f"no next hop is known that is like {select.next_hop}"
        for entry in pages(store, Filter(idents=select.idents, status="held")) if idents and not dry else ():
            complain = f"{entry.message.ident} is held, and is not tried; smtpq release lets it go on"
            errors.complain("runsmtpq", complain)
    finally:
        store.close()
    return f"not in the queue: {' '.join(unknown)}" if unknown else ""


def _tell_waiting(config: Config, now: float) -> None:
    """Say what waits though nothing was due.  Raises StoreError."""
    from mether.programs.choice import messages
    from mether.queue.open import open_store
    from mether.queue.store import Filter
    from mether.runner import plan

    store = open_store(config.queue.spool, now=now, create=False)
    store.runs = False
    try:
        hops = {hop.route: hop for hop in store.hops()}
        entries = store.entries(Filter(), "", PAGE)
        steps = [[one for one in plan.steps(entry, hops, now) if one.verb == "wait"] for entry in entries]
    finally:
        store.close()
    count = sum(map(bool, steps))
    times = [one.when for each in steps for one in each if one.when]
    if not count:
        return
    some = f"{PAGE} or more messages" if len(entries) == PAGE else messages(count)
    until = f", the next until {_shown(min(times))}" if times else ""
    wait = "waits" if count == 1 else "wait"
    errors.complain("runsmtpq", f"nothing is due: {some} {wait}{until}; --all tries now")


def _run(config: Config, select: Select, *, quiet: bool = False) -> int:
    from mether.setup import service

    def task(runner: Runner) -> Coroutine[Any, Any, int]:
        return runner.once(select)

    helper = None
    if config.service.user is not None:
        from mether.setup import privileges

        helper = privileges.leave(config)
    return service.run(service.once(config, task, quiet=quiet, helper=helper))


def _dry_run(config: Config, select: Select, at: float, as_json: bool) -> None:
    from mether.programs.listing import hop_name
    from mether.queue.glob import next_hop_like
    from mether.queue.open import open_store
    from mether.queue.store import Filter
    from mether.runner import plan

    if as_json:
        import json
    store = open_store(config.queue.spool, now=time.time(), create=False)
    try:
        hops = {hop.route: hop for hop in store.hops()}
        after = ""
        while page := store.entries(Filter(idents=select.idents), after, PAGE):
            after = page[-1].message.ident
            for entry in page:
                for step in plan.steps(entry, hops, at, regardless=select.regardless):
                    hop = step.row.route.next_hop
                    if select.next_hop is not None and not next_hop_like(select.next_hop, step.row.route):
                        continue
                    if as_json:
                        fields = {
                            "queue_id": entry.message.ident,
                            "recipient": str(step.row.recipient.forward_path),
                            "transport": step.row.route.transport,
                            **({"via": step.row.route.via} if step.row.route.via else {}),
                            "next_hop": hop,
                            "do": step.verb,
                            "why": step.why,
                            "when": step.when,
                        }
                        print(json.dumps(fields))
                        continue
                    when = f" until {_shown(step.when)}" if step.verb == "wait" and step.when else ""
                    print(
                        f"{entry.message.ident} {step.row.recipient.forward_path} "
                        f"by {hop_name(step.row.route)}: {step.verb}{when}, {step.why}"
                    )
    finally:
        store.close()


def _shown(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


if __name__ == "__main__":
    sys.exit(main())
