"""An administrator's own rules of what replies mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.content.classify import classify
from mether.reply import Reply
from mether.setup import replies
from mether.setup.config import Config, load
from mether.setup.locate import ConfigError
from mether.setup.wiring import retry


def configured(tmp_path: Path, rules: bytes | None) -> Config:
    if rules is not None:
        (tmp_path / "replies.txt").write_bytes(rules)
    (tmp_path / "mether.toml").write_text('[retry]\ngreylisted = "7m"\nreply_rules = "replies.txt"\n')
    return load(str(tmp_path / "mether.toml"))


def test_without_a_file_there_are_the_built_in_rules_alone() -> None:
    assert replies.rules(load(None)) is None
    assert list(replies.troubles(load(None))) == []


def test_own_rules_come_first_and_the_built_in_ones_then(tmp_path: Path) -> None:
    config = configured(tmp_path, b"[greylisted x.7.1]\n4: wer bist du\n")
    rules = replies.rules(config)
    assert classify(Reply(450, None, "Wer bist du?"), "RCPT", rules).kind == "greylisted"
    assert classify(Reply(550, None, "User unknown"), "RCPT", rules).kind == "no such user"
    schedule = retry(config, rules)
    assert (schedule.rules, schedule.greylisted) == (rules, 420.0)


@pytest.mark.parametrize(
    ("rules", "where"),
    [
        (b"\n[polite x.7.1]\n", "replies.txt:2: no class 'polite'; expected one of: no such user"),
        (b"[policy x.7.1]\n\xff", "replies.txt: expected UTF-8, found otherwise at octet 15"),
        (b"#" * (replies.MAX_FILE + 1), "replies.txt: expected rules in at most 1048576 octets"),
        (None, "mether.toml:3: retry.reply_rules: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, rules: bytes | None, where: str) -> None:
    """LIM"""
    config = configured(tmp_path, rules)
    with pytest.raises(ConfigError) as caught:
        replies.rules(config)
    assert str(caught.value).startswith(f"{tmp_path}/{where}")
    assert list(replies.troubles(config)) == [str(caught.value)]
