"""What the sessions of a listener share: what follows when little is said."""

from __future__ import annotations

from typing import Any

import pytest
from clock import Clock
from mail import address, new_ident, router

from mether.queue.memory import MemoryStore
from mether.receive.budget import Budget
from mether.receive.offer import Offers
from mether.receive.reception import Limits, Reception
from mether.routing.networks import Networks
from mether.smtp.command import BadCommand


def reception(**named: Any) -> Reception:
    return Reception(
        hostname="mx.example.com",
        postmaster=address("postmaster@example.com"),
        limits=Limits(size=1000, recipients=100, commands=50, errors=5),
        relay_from=Networks(()),
        router=router(),
        budget=Budget(1 << 20),
        clock=Clock(),
        ident=new_ident,
        lifetime=86400.0,
        stage=MemoryStore(now=0.0).stage,
        commit=lambda draft, done: None,
        **named,
    )


def test_nobody_is_trusted_unless_that_is_said() -> None:
    """SEC-1, AUT-1"""
    made = reception()
    assert made.role == "local"
    assert made.authentication is None
    assert made.start is None
    for networks in (made.relay_from, made.etrn_from, made.xclient_from):
        assert "127.0.0.1" not in networks


def test_before_ehlo_parameters_are_taken_that_everybody_is_offered() -> None:
    """CMD-18: after HELO too, SIZE is known and what is for submitters alone is not."""
    grammar = reception().grammar
    assert grammar.parse(b"MAIL FROM:<a@b.example> SIZE=10 RET=HDRS").verb == "MAIL"
    with pytest.raises(BadCommand) as raised:
        grammar.parse(b"MAIL FROM:<a@b.example> HOLDFOR=10")
    assert raised.value.reply.code == 555


def test_what_is_kept_back_is_not_taken_either() -> None:
    """CMD-8"""
    grammar = reception(offers=Offers(size=0, recipients=1, off=["DSN"])).grammar
    with pytest.raises(BadCommand) as raised:
        grammar.parse(b"MAIL FROM:<a@b.example> RET=HDRS")
    assert raised.value.reply.code == 555


def test_a_session_has_no_limit_unless_that_is_said() -> None:
    """TMO-1"""
    assert Limits(size=0, recipients=1, commands=0, errors=0).seconds == 0
