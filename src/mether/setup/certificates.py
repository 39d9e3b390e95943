"""The certificates of the listeners, made from ``[tls]``.

Fails with ConfigError, one line that names the file and what is wrong with it, before anything listens.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.setup.locate import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.net.tlsserver import ServerTls
    from mether.setup.config import Config


def server_tls(config: Config) -> ServerTls | None:
    """The certificates, None when there are none.  Raises ConfigError."""
    tls = config.tls
    if not tls.certificate:
        return None
    from mether.net.tlserror import TlsError
    from mether.net.tlsserver import ServerTls

    try:
        return ServerTls(
            tls.pairs,
            client_ca=tls.client_ca,
            minimum=tls.minimum,
            log=event.warning,
            loaded=lambda path: event.warning(f"{path}: the certificate was read anew"),
        )
    except TlsError as error:
        where = config.origins.get("tls.certificate", config.path)
        raise ConfigError(f"{where}: tls.certificate: {error}") from None
