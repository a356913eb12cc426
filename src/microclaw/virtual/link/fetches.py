"""Passes https requests of MicroPython's programs to the host, and its answers back. The firmware has the rules.

They are messages of firmware/fw/fetch.py, which runs in the interpreter; only the client's thread uses the link.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from msgspec import structs

from microclaw.conversion import convert
from microclaw.virtual.link_client.client import LinkClient
from microclaw.virtual.py.chip import Json
from microclaw.virtual.py.programs import Programs
from microclaw.wire.link.actions import Deliver
from microclaw.wire.link.messages import ErrorMessage, Fetch, Fetched, FetchPiece
from microclaw.wire.link.values import Id


class LinkFetches:
    """The requests of one boot."""

    def __init__(self, client: LinkClient, programs: Programs) -> None:
        self._client = client
        self._programs = programs
        # The requests without an answer yet, by the id of their message.
        self._open: set[Id] = set()
        client.parted = self._part
        programs.fetch_link = self

    @property
    def is_ready(self) -> bool:
        """True while the host can be asked."""
        return self._client.state.name == "connected"

    def send(self, kind: str, body: Mapping[str, Json], data: bytes, *, re: Id | None, message_id: Id | None) -> None:
        """Send a message of the interpreter, from its thread."""
        if kind == "fetch":
            message: Fetch | FetchPiece = convert(body, Fetch)
        else:
            message = FetchPiece(data)
        self._client.post(lambda: self._send(message, re, message_id))

    def took(self, deliver: Deliver) -> bool:
        """Pass a message of the host on; return False if it is about something else."""
        envelope = deliver.envelope
        re = envelope.re
        match envelope.body:
            case Fetched() as fetched:
                self._tell("fetched", structs.asdict(fetched), re)
            case FetchPiece(data=data):
                self._tell("fetch_piece", {"data": b64encode(data).decode()}, re)
            case ErrorMessage(code=code, message=text) if re in self._open:
                self._tell("error", {"code": code, "message": text}, re)
            case _:
                return False
        return True

    def _send(self, message: Fetch | FetchPiece, re: Id | None, message_id: Id | None) -> None:
        if isinstance(message, Fetch) and message_id is not None:
            self._open.add(message_id)
        self._client.send(message, re=re, message_id=message_id)

    def _tell(self, kind: str, body: Mapping[str, Json], re: Id | None) -> None:
        if kind != "fetch_piece":
            self._open.discard(re or b"")
        self._programs.tell_fetch(kind, body, b64encode(re or b"").decode())

    def _part(self) -> None:
        self._open.clear()
        self._programs.tell_fetch("left", {}, "")
