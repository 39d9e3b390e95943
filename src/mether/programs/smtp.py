"""smtp: the talker.  One message on standard input, one transaction, one outcome for each recipient."""

from __future__ import annotations

import sys

from mether.client.session import own_name
from mether.outcome import Outcome
from mether.programs import errors, message, parameters
from mether.programs.operands import check_helo, envelope_of
from mether.programs.options import JSON, Option, Program, UsageError, parse
from mether.programs.talk import Manner, Talk
from mether.queue.content import in_memory
from mether.relay import failure
from mether.reply import Reply
from mether.setup import locate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.envelope import Envelope
    from mether.programs.options import Parsed
    from mether.queue.content import Content
    from mether.smtp.sasl_client import Credentials

LEVELS = ("none", "may", "encrypt", "verify")

PROGRAM = Program(
    "smtp",
    ("[-h HELOHOST] [-v] [--json] [--tls LEVEL] [--auth-user USER] ... TARGETHOST SENDER RECIPIENT...",),
    """Sends the message on standard input to TARGETHOST, as being from SENDER, for each RECIPIENT.  Lines may
    end in LF or CRLF.  A line on standard output tells each recipient's outcome.

    TARGETHOST is an IP address, [HOST], HOST:PORT, a name without a dot or in the hosts file, all of which
    are connected to directly; any other domain is looked up by MX.  unix:PATH and lmtp:HOST:PORT
    speak LMTP.  In a list, HOST,HOST, the next one is tried when one cannot be connected to or gives no
    session, and never for a reply to the message; in HOST*3,HOST*1 the first has its turn three times as
    often.  SENDER may be <> or empty for the null reverse-path.

    A recipient that is refused, or that is no address, never stops the others.

    TLS is begun where the server offers it, and any certificate will do (level may); port 465 begins with it.
    Whoever logs in shows a password only to a server that proved its name, unless --tls says less.""",
    (
        Option("h", "", "say this name in EHLO instead of the host's own", value="HELOHOST"),
        Option("v", "verbose", "show the dialogue on standard error"),
        Option("", "source", "connect from this address, or from one IPv4 and one IPv6", value="ADDRESS"),
        Option("", "tls", "TLS: none, may, encrypt or verify", value="LEVEL", choices=LEVELS),
        Option("", "tls-on-connect", "begin with TLS, as port 465 always does"),
        Option("", "ca", "trust the authorities in this file, with --tls verify", value="FILE"),
        Option("", "auth-user", "log in as this user (with --auth-password-file)", value="USER"),
        Option("", "auth-password-file", "the password is this file's first line", value="FILE"),
        Option("", "lmtp", "speak LMTP, whatever TARGETHOST says"),
        Option("", "probe", "stop after RCPT: say what would be accepted, and send nothing"),
        *parameters.OPTIONS,
        JSON,
    ),
    exits=(
        (0, "all recipients were accepted"),
        (64, "the arguments are wrong"),
        (65, "the message cannot be sent as it is"),
        (66, "the file of --ca cannot be used"),
        (67, "a recipient is unknown, or no address"),
        (68, "the host is unknown"),
        (69, "another refusal"),
        70,
        (75, "a recipient is deferred, or the login cannot be had: the same may succeed later"),
        (76, "the server violates the protocol"),
        78,
    ),
    queue=False,
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("smtp", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    wrong: list[tuple[int, str, str]] = []
    target, envelope = envelope_of(given.operands, wrong)
    # The hosts file is asked first, so that the arguments are all judged before anything is read.
    basics = locate.basics(given.text("config"), None)
    helo = given.text("h")
    if helo is not None:
        check_helo(helo)
    parameters.put(given, envelope)
    sources = _sources(given)
    if given.flag("tls-on-connect") and given.text("tls") == "none":
        raise UsageError("--tls-on-connect contradicts --tls none")
    if given.flag("requiretls") and given.text("tls") == "none":
        raise UsageError("--requiretls contradicts --tls none")
    _check_ca(given)
    credentials = _credentials(given)
    probe = given.flag("probe")
    if probe:
        content, eight_bit = in_memory(b""), envelope.body != "7BIT"
    else:
        content, eight_bit = _content(envelope)
        parameters.check_7bit(given, eight_bit=eight_bit)

    def watch(direction: str, text: str) -> None:
        sys.stderr.write(f"{direction} {text}\n")

    manner = Manner(
        lambda local: helo or own_name(basics.hostname, local),
        watch if given.flag("verbose") else lambda direction, text: None,
        lmtp=target.lmtp or given.flag("lmtp"),
        probe=probe,
        level=given.text("tls"),
        implicit=given.flag("tls-on-connect"),
        ca=given.text("ca"),
        credentials=credentials,
        sources=sources,
    )
    outcomes = Talk(target, envelope, content, eight_bit, manner).outcomes() if envelope.recipients else []
    names = [str(one.forward_path) for one in envelope.recipients]
    for place, text, what in wrong:
        # What a server would say of it: the others have nothing to do with it.
        names.insert(place, text)
        outcomes.insert(place, Outcome(place, "failed", Reply(553, "5.1.3", what)))
    try:
        _show(names, outcomes, given.flag("json"), probe)
        sys.stdout.flush()
    except OSError as error:
        # What was sent stays sent: another status would have the caller send it again.
        errors.complain("smtp", f"the outcome cannot be printed: {error.strerror or error}")
        errors.silence()
    return failure.exit_status(outcomes)


def _sources(given: Parsed) -> dict[int, str] | None:
    """The addresses to connect from.  Raises UsageError."""
    text = given.text("source")
    if text is None:
        return None
    from mether.programs.places import sources

    try:
        return sources(text)
    except ValueError as error:
        raise UsageError(f"--source: {error}") from None


def _check_ca(given: Parsed) -> None:
    """Judge --ca before there is a connection.  Raises UsageError or Failure."""
    path = given.text("ca")
    if path is None:
        return
    level = given.text("tls")
    implied = given.flag("requiretls") or (level is None and given.text("auth-user") is not None)
    if level != "verify" and not implied:
        raise UsageError("--ca: without --tls verify nobody looks at the certificate")
    from mether.net.tls import ClientTls
    from mether.net.tlserror import TlsError

    try:
        ClientTls(ca=path).terms("verify")
    except TlsError as error:
        raise errors.Failure(errors.NOINPUT, f"--ca: {error}") from None


def _credentials(given: Parsed) -> Credentials | None:
    """What to log in with, None for nothing.  Raises UsageError or Failure."""
    user, path = given.text("auth-user"), given.text("auth-password-file")
    if user is None and path is None:
        return None
    if user is None or path is None:
        raise UsageError("--auth-user and --auth-password-file go together")
    from mether.relay.credentials import CredentialsError, read_file
    from mether.smtp.sasl_client import Credentials

    try:
        return Credentials(user, read_file(path))
    except CredentialsError as error:
        # As a login that is refused: somebody mends it, and a mail router tries again meanwhile.
        raise errors.Failure(errors.TEMPFAIL, f"--auth-password-file: {error}") from None
    except ValueError as error:
        raise UsageError(f"--auth-user: {error}") from None


def _content(envelope: Envelope) -> tuple[Content, bool]:
    """The message on standard input: lines, or with BODY=BINARYMIME octets as they are."""
    pull = message.octets(0)
    data = (
        message.read_binary(pull, message.Scratch)
        if envelope.body == "BINARYMIME"
        else message.read(pull, message.Scratch)
    )
    return message.content(data)


def _show(names: list[str], outcomes: list[Outcome], as_json: bool, probe: bool) -> None:
    """Print the outcomes, in the order of the recipients."""
    if as_json:
        import json
    for name, outcome in zip(names, outcomes, strict=True):
        if as_json:
            fields = {
                "recipient": name,
                "action": outcome.action,
                "status": outcome.status,
                "code": outcome.reply.code,
                "reply": str(outcome.reply),
                "remote_mta": outcome.remote_mta,
                "uncertain": outcome.uncertain,
            }
            if probe:
                fields["action"] = "acceptable" if outcome.action == "relayed" else outcome.action
            print(json.dumps(fields))
        else:
            doubt = "; it may have been delivered" if outcome.uncertain else ""
            word = "acceptable" if probe and outcome.action == "relayed" else outcome.action
            recipient = name if name and name.isprintable() else repr(name)
            print(f"{recipient}: {word} ({outcome.reply}){doubt}")
