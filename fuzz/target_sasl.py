"""Whatever a client responds, an AUTH exchange ends, and lets in only a login that was accepted."""

from __future__ import annotations

from mether.smtp import sasl
from mether.smtp.sasl import ACCEPTED, DISABLED, REJECTED, TEMPORARY, Answer, SaslError
from mether.smtp.sasl_scram import keys

MECHANISMS = (
    "PLAIN",
    "LOGIN",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
    "X",
)
KEYS = keys("a password that no client of this test knows", b"salt", 4096)
ANSWERS = (ACCEPTED, REJECTED, TEMPORARY, DISABLED)


def check(data: bytes) -> None:
    """Two octets: the mechanism and the answers; then the client's responses, with LF between."""
    if len(data) < 2:
        return
    name, flags, lines = MECHANISMS[data[0] % len(MECHANISMS)], data[1], data[2:].split(b"\n")
    for line in lines:
        text = line.decode("latin-1")
        try:
            octets = sasl.decode(text)
        except SaslError as error:
            assert error.reply.permanent
        else:
            # RFC 4648 section 3.5 lets the bits that are left over in the last character be anything.
            assert sasl.decode(sasl.encode(octets)) == octets
            assert len(sasl.encode(octets)) == len(text)
    try:
        exchange = sasl.server(
            name,
            random=bytes,
            secret=b"secret",
            binding=b"binding" if flags & 4 else None,
            certificate="client.example" if flags & 8 else None,
            iterations=4096,
        )
    except SaslError as error:
        assert error.reply.code == 504
        return
    answer = ANSWERS[flags & 3]
    accepted = ""
    step = exchange.begin(lines.pop(0) if flags & 16 else None)
    for _ in range(20):
        if isinstance(step, sasl.Challenge):
            assert step.reply.code == 334
            if not lines:
                return
            step = exchange.respond(lines.pop(0))
        elif isinstance(step, sasl.FindKeys):
            step = exchange.answer(Answer.found(KEYS) if answer is ACCEPTED else answer)
        elif isinstance(step, sasl.CheckPassword | sasl.CheckToken):
            assert step.login or isinstance(step, sasl.CheckToken)
            accepted = step.login
            given = Answer("accepted", login=step.login or "somebody") if answer is ACCEPTED else answer
            accepted = given.login or accepted
            step = exchange.answer(given)
        elif isinstance(step, sasl.Done):
            assert answer is ACCEPTED or name == "EXTERNAL", name
            assert not name.startswith("SCRAM"), "let in without the password"
            assert step.login and step.login in (accepted, "client.example"), step.login
            assert step.reply.code == 235
            break
        else:
            assert isinstance(step, sasl.Failed)
            assert step.reply.code >= 400
            break
    else:
        raise AssertionError("an exchange without end")
