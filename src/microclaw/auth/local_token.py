"""The chat gateway's own token: a file that only this account can read. Whoever can read it is the owner.

It opens the gateway on loopback and nothing else; the API and a gateway on a network want a person's token.
"""

from __future__ import annotations

import logging
import re
import secrets
from pathlib import Path
from typing import Final

from microclaw.auth.tokens import PREFIX, SECRET_BYTES
from microclaw.durable import read_private, write_private
from microclaw.errors import StoreError

_log = logging.getLogger(__name__)
_FORM: Final = re.compile(r"mc_[A-Za-z0-9_-]{43}")


def open_local_token(path: Path) -> str:
    """The token in the file at `path`, which is made (0600) when there is none; StoreError when it cannot be.

    A file that others can read, or that holds no token, gets a new one: the old one may be known.
    """
    try:
        found = (read_private(path) or b"").decode("ascii", "replace").strip()
    except StoreError as exc:
        _log.warning("the chat gateway's token is made anew: %s", exc.message)
        found = ""
    if _FORM.fullmatch(found):
        return found
    token = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    write_private(path, f"{token}\n".encode())
    return token
