"""sendmail and mailq: what every Unix program already calls.

`sendmail_options` reads their options, and `submission` does what a submitted header needs.  A message is
queued, and then delivered by the daemon that works the queue, or `behind` the caller's back where there is
none; who may not write into the queue has it handed over to the service (`handover`).
"""

from __future__ import annotations

import os
import sys
import time

from mether import address
from mether.envelope import Envelope, Recipient
from mether.programs import behind, errors, message, parameters, queueing
from mether.programs.options import UsageError, parse
from mether.programs.sendmail_options import MAILQ, arguments
from mether.programs.sendmail_options import PROGRAM as PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.address import ReversePath
    from mether.programs.sendmail_options import Arguments
    from mether.queue.content import Writer
    from mether.queue.store import StoreError
    from mether.setup.config import Config


def main(argv: list[str] | None = None) -> int:
    """sendmail."""
    return errors.run("sendmail", _work, argv)


def mailq(argv: list[str] | None = None) -> int:
    """mailq."""
    return errors.run("mailq", _mailq, argv)


def _mailq(argv: list[str]) -> int:
    from mether.programs import smtpq

    given = parse(MAILQ, argv)
    return smtpq.print_queue(given.text("config"), given.text("spool"))


def _work(argv: list[str]) -> int:
    given = arguments(argv)
    if given.mode == "i":
        from mether.programs import newaliases

        return newaliases.look(given.config, "sendmail")
    if given.mode == "p":
        from mether.programs import smtpq

        return smtpq.print_queue(given.config, given.spool)
    if given.run_queue:
        from mether.programs import runsmtpq

        return runsmtpq.main(_queue_arguments(given))
    from mether.setup import config as config_
    from mether.setup import locate

    config = config_.load(locate.find_config(given.config), spool=given.spool)
    if given.mode == "s":
        return _session(config)
    if given.mode == "v":
        return _verify(config, given)
    return _submit(config, given)


def _session(config: Config) -> int:
    """SMTP on standard input and output, with the service where this user may not queue."""
    from mether.programs import in_smtpd
    from mether.queue.open import open_store
    from mether.queue.store import StoreError

    try:
        store = open_store(config.queue.spool, now=time.time())
    except StoreError as error:
        import stat

        from mether.programs import handover

        path = _service(config, error)
        sink = 0 if stat.S_ISSOCK(os.fstat(0).st_mode) else 1
        return handover.session("sendmail", path, 0, sink)
    batch = not os.isatty(0)
    return in_smtpd.session(config, "", trusted=True, batch=batch, program="sendmail", store=store)


def _verify(config: Config, given: Arguments) -> int:
    """Say what would become of mail for the recipients; nothing is sent."""
    from mether.programs import route
    from mether.routing.request import Request

    origin = config.service.origin
    sender = _sender(given.sender, _user(), origin)
    found = [each for text in given.recipients for each in _recipients(text, origin)]
    if not found:
        raise UsageError("-bv needs an address")
    return route.verify(config, [Request(each, sender=sender) for each in found])


def _queue_arguments(given: Arguments) -> list[str]:
    out = []
    if given.config is not None:
        out += ["-C", given.config]
    if given.spool is not None:
        out += ["--spool", given.spool]
    return out


def _submit(config: Config, given: Arguments) -> int:
    from mether.content import header
    from mether.programs import submission
    from mether.queue.open import open_store
    from mether.queue.store import StoreError
    from mether.setup import locate

    user = _user()
    origin = config.service.origin
    sender = _sender(given.sender, user, origin)
    pull = message.octets(0)
    if given.dot_ends:
        pull = _until_dot(pull)
    content = message.read(pull, message.Scratch)
    head = content if isinstance(content, bytes) else content.content().read(submission.MAX_HEADER)
    section = head[: header.split(head)]
    recipients = [each for text in given.recipients for each in _recipients(text, origin)]
    if given.from_header:
        try:
            named = submission.recipients(section)
        except ValueError as error:
            raise errors.Failure(errors.DATAERR, str(error)) from None
        recipients += [_plain(text, origin) for text in named]
    if not recipients:
        raise UsageError("no recipients: name some, or use -t and give To, Cc or Bcc in the message")
    unique = list(dict.fromkeys(recipients))
    now = time.time()
    fixed = submission.complete(
        section,
        sender=sender,
        full_name=given.full_name,
        user=user,
        hostname=config.service.hostname,
        ident=queueing.new_id(now),
        at=now,
        offset=time.localtime(now).tm_gmtoff,
        drop_bcc=given.from_header,
        origin=origin,
    )
    envelope = Envelope(
        sender,
        [Recipient(path) for path in unique],
        smtputf8=not all(path.is_ascii for path in unique) or not (sender is None or sender.is_ascii),
    )
    for name, value in given.parameters:
        parameters.envelope(envelope, name, value, name)
    if given.notify is not None:
        parameters.recipients(envelope, given.notify, "-N")
    if message.content(content)[1]:
        envelope.body = "8BITMIME"  # whatever -B said: nobody can send it as anything else

    def whole(spill: Callable[[], Writer]) -> bytes | Writer:
        return submission.replace_header(content, len(section), fixed, spill)

    from mether.programs import addressing

    router = config.router()
    basics = locate.Basics(
        config.path,
        config.service.hostname,
        config.service.postmaster,
        config.queue.spool,
        config.retry.expire,
        config.retry.warn,
    )
    try:
        store = open_store(config.queue.spool, now=now)
    except StoreError as error:
        return _hand_over(config, envelope, whole, error)
    try:
        addressed = addressing.address(router, envelope, now)
        ident = addressing.submit(store, basics, router, addressed, whole, fixed + b"\r\n")
        for line in addressed.refused:
            errors.complain("sendmail", line)
        woken = store.wake() if given.delivery == "b" else 0
    finally:
        store.close()
    if given.delivery == "i":
        if ident:
            _run_now(config, ident)
    elif given.delivery == "b" and not woken:
        behind.start(config.queue.spool, given.config, given.spool)
    return 0


def _hand_over(
    config: Config,
    envelope: Envelope,
    whole: Callable[[Callable[[], Writer]], bytes | Writer],
    trouble: StoreError,
) -> int:
    """Have the service queue what this user may not, or cannot.  Raises Failure as `_service` does."""
    from mether.programs import handover

    path = _service(config, trouble)
    data: bytes | message.Scratch = whole(message.Scratch)  # type: ignore[assignment]
    return handover.deliver("sendmail", path, envelope, data, config)


def _service(config: Config, trouble: StoreError) -> str:
    """The path of the service's socket.  Raises Failure where it has none: whoever called keeps the message,
    and comes again."""
    from mether.programs import handover
    from mether.queue.store import NotAllowed

    path = handover.socket(config)
    if path is None:
        what = str(trouble)
        if isinstance(trouble, NotAllowed):
            what += (
                "; expected a [[listen]] with a unix: address and the role local, to hand the message over, "
                "or a configuration of your own in ~/.config/mether/mether.toml"
            )
        raise errors.Failure(errors.TEMPFAIL, what)
    return path


def _run_now(config: Config, ident: str) -> None:
    """Try to deliver the message now.  It is queued whatever becomes of that."""
    from mether.queue.store import Select
    from mether.setup import service

    select = Select(idents=frozenset((ident,)), regardless=True)
    try:
        service.run(service.once(config, lambda runner: runner.once(select), quiet=True))
    except Exception as error:
        errors.complain("sendmail", f"queued as {ident}, but not tried: {errors.status_of(error)[1]}")


def _user() -> tuple[str, str]:
    """The login and full name of whoever runs this."""
    import pwd

    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return f"uid{os.getuid()}", ""
    return entry.pw_name, entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())


def _sender(text: str | None, user: tuple[str, str], origin: str) -> ReversePath:
    if text is None:
        return address.Address(address.quote(user[0]), origin)
    if text in ("", "<>"):
        return None
    found = _recipients(text, origin)
    if len(found) != 1:
        raise UsageError(f"-f {text!r}: expected one address, and these are {len(found)}")
    return found[0]


def _recipients(text: str, origin: str) -> list[address.Address]:
    """The addresses in an argument: one, or a list of them as in To (RFC 5322 section 3.4), for other
    sendmails read it so: cron's MAILTO=a,b comes as one argument.  Those without a domain are at `origin`.
    Raises UsageError."""
    text = text.strip()
    if "@" not in text and text and address.quote(text) == text:
        return [address.Address(text, origin)]
    try:
        path = address.parse_argument(text)
        if path is None:
            raise UsageError("an empty address")
        return [path if path.domain else address.Address(path.local_part, origin)]
    except address.AddressError as error:
        # Only what reads as nothing simpler is worth the time that the parser of lists takes to load.
        if text.isprintable() and any(char in ' ,<("' for char in text):
            return _listed(text, origin)
        raise UsageError(f"address {text!r}: {error}") from None


def _listed(text: str, origin: str) -> list[address.Address]:
    from mether.content import submission

    try:
        found = submission.mailboxes("To", text)
    except ValueError as error:
        raise UsageError(str(error).removeprefix("To: ")) from None
    if not found:
        raise UsageError(f"{text!r} has no address in it")
    return [_plain(one, origin) for one in found]


def _plain(text: str, origin: str) -> address.Address:
    """An addr-spec, or a name alone, which may be quoted.  Raises UsageError."""
    if "@" not in text or text.endswith('"'):
        return address.Address(address.quote(address.unquote(text)), origin)
    try:
        return address.parse(text, utf8=True)
    except address.AddressError as error:
        raise UsageError(f"address {text!r}: {error}") from None


def _until_dot(pull: Callable[[], bytes]) -> Callable[[], bytes]:
    """Ends the input at a line of one dot."""
    held = b"\n"
    ended = False

    def next_octets() -> bytes:
        nonlocal held, ended
        while not ended:
            data = pull()
            ended = not data
            text = held + data
            for mark in (b"\n.\n", b"\n.\r\n"):
                at = text.find(mark)
                if at >= 0:
                    ended = True
                    text = text[: at + 1]
            if ended and not data and text.endswith((b"\n.", b"\n.\r")):
                text = text[: text.rindex(b"\n") + 1]
            # What is given out leaves a few octets behind, in case the mark is cut in two.
            keep = 0 if ended else min(len(text) - 1, 3)
            out, held = text[1 : len(text) - keep], text[len(text) - keep - 1 :]
            if out:
                return out
        return b""

    return next_octets


if __name__ == "__main__":
    sys.exit(main())
