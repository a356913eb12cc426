"""Addresses of programs' pages: /app/PROGRAM/..., and with a secret /app/PROGRAM/~SECRET/... It checks no secret."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from msgspec import Struct
from starlette.types import Scope

from microclaw.interfaces.api.failures import PATH_KEY
from microclaw.wire.host_api import PAGE_MARK, PROGRAM_PAGES, program_page_path


class PageAddress(Struct, frozen=True):
    """The address of one request. `program` is "lamp", or "lamp@kitchen" for the program of one board.

    `secret` is a page token or a session's ticket, "" without one. `path` is what the program gets: "/led/on".
    """

    program: str
    secret: str
    path: str

    @property
    def prefix(self) -> str:
        """What stands before `path` in this host's own path."""
        return program_page_path(self.program, self.secret).removesuffix("/")

    @property
    def name(self) -> str:
        return self.program.partition("@")[0]

    @property
    def device(self) -> str | None:
        return self.program.partition("@")[2] or None


def page_address(scope: Scope) -> PageAddress | None:
    """Return the address of this request, None if it is of no program's page.

    The path is read as it was sent: an encoded slash is part of a name, and reaches the program as it is.
    """
    raw_path: bytes = scope.get("raw_path") or b""
    if not raw_path.startswith(PROGRAM_PAGES.encode()):
        return None
    _, _, program, *rest = raw_path.split(b"/", 3)
    secret = b""
    path = b"".join(rest)
    if path.startswith(PAGE_MARK.encode()):
        secret, _, path = path[1:].partition(b"/")
    return PageAddress(_text(program), _text(secret), "/" + path.decode("ascii"))


def path_in_browser(scope: Scope, address: PageAddress) -> str:
    """Return the prefix of all paths of this page as the browser has to send them."""
    return f"{scope.get(PATH_KEY, '')}{address.prefix}"


def _text(segment: bytes) -> str:
    return unquote_to_bytes(segment).decode(errors="replace")
