"""Who a host is to a NATS server: name and password, or a token.

The file is read at each connection, so that what is in it can be changed while the host runs.
"""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Any, Final

from microclaw.cluster.nats_client import Refusal
from microclaw.config.cluster_settings import ClusterSettings

MAX_BYTES: Final = 65_536
_STEP: Final = "write the password alone into it"

_log = logging.getLogger(__name__)


def sign_on_options(settings: ClusterSettings) -> dict[str, Any]:
    """For `Client.connect`. Raises Refusal for a file that is of no use, now and at later connections."""
    options: dict[str, Any] = {}
    if settings.password_file is not None:
        file = settings.password_file
        _read_password(file)
        _warn_of_others(file)
        word = "token" if settings.user is None else "password"
        options[word] = lambda: _read_password(file)
    if settings.user is not None:
        options["user"] = settings.user
    return options


def _read_password(file: str) -> str:
    try:
        with Path(file).expanduser().open("rb") as opened:
            password = opened.read(MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise Refusal(f"cluster.password_file {file} cannot be read: {why}", _STEP) from exc
    if not password or not password.isprintable():
        raise Refusal(f"cluster.password_file {file} does not hold a password of one line", _STEP)
    return password


def _warn_of_others(file: str) -> None:
    """Container engines mount secrets as they like, so it is no error."""
    mode = stat.S_IMODE(Path(file).expanduser().stat().st_mode)
    if mode & 0o007:
        _log.warning("%s is open to every user of this machine (mode %03o); next: chmod 600 %s", file, mode, file)
