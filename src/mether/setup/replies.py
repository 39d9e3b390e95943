"""``[retry] reply_rules``: an administrator's rules of what replies mean, before the built-in ones.

How such a file reads is told in `mether/content/replies.txt` and docs/bounces.md.  It is read when the
service starts and when it is reloaded; what is wrong in it is a ConfigError with its line.
"""

from __future__ import annotations

from mether.setup.locate import ConfigError, octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.content.classify import Rules
    from mether.setup.config import Config

MAX_FILE: Final = 1 << 20
"""Octets of the file."""


def rules(config: Config) -> Rules | None:
    """The rules of the file and then the built-in ones; None without a file.  Raises ConfigError."""
    path = config.retry.reply_rules
    if path is None:
        return None
    from mether.content.classify import RulesError, built_in, parse

    try:
        data = octets(path, MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{path}: expected rules in at most {MAX_FILE} octets")
        return parse(data.decode()).before(built_in())
    except RulesError as error:
        raise ConfigError(f"{path}:{error.line}: {error.what}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8, found otherwise at octet {error.start}") from None
    except OSError as error:
        where = config.origins.get("retry.reply_rules", config.path)
        raise ConfigError(f"{where}: retry.reply_rules: {path}: {error.strerror}") from None


def troubles(config: Config) -> Iterator[str]:
    """A line where the file cannot be used."""
    try:
        rules(config)
    except ConfigError as error:
        yield str(error)
