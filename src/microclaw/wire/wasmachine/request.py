"""Requests and responses of WAMR's application manager, and the ones that install, remove and query apps.

Big-endian. Answers are matched by frame type and `mid`; what a device's texts mean is in answers.py.
"""

from __future__ import annotations

import re
from enum import IntEnum
from struct import Struct
from typing import Any, Final

import msgspec

from microclaw.errors import DeployRejected, ProtocolError
from microclaw.wire.wasmachine.attributes import text_of

PROTOCOL_VERSION: Final = 1
FORMAT_RAW: Final = 98
FORMAT_ATTRIBUTES: Final = 99
QUERY_RECEIVER: Final = -3  # what the manager puts into the receiver field of query answers
APPLET_URL: Final = "/applet"
PAGE_URL: Final = "web"
"""The resource of a program that answers HTTP requests; the payloads are whole HTTP messages."""
ENDED_EVENT: Final = "ended"  # what the shim of a program that blocks in main sends when main is over, also by a trap
MAX_NAME_BYTES: Final = 126
MAX_TIMERS: Final = 30
MIN_HEAP_BYTES: Final = 256
DEFAULT_HEAP_BYTES: Final = 8192
DEFAULT_TIMERS: Final = 20
DEFAULT_WATCHDOG_MS: Final = 180_000

_REQUEST: Final = Struct(">BBHIIHI")  # version, action, format, mid, sender, url length with NUL, body length
_RESPONSE: Final = Struct(">BBHIiI")  # version, status, format, mid, receiver, body length
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+")


class RequestAction(IntEnum):
    """EVENT: an app sends it to those that registered for its event."""

    GET = 1
    POST = 2
    PUT = 3
    DELETE = 4
    EVENT = 6


class CoapCode(IntEnum):
    """CoAP codes. The manager itself sends only CREATED, DELETED, CONTENT and INTERNAL_SERVER_ERROR."""

    CREATED = 65
    DELETED = 66
    CONTENT = 69
    BAD_REQUEST = 128
    NOT_FOUND = 132
    INTERNAL_SERVER_ERROR = 160


class WasmachineRequest(msgspec.Struct, frozen=True):
    """`sender` is 0 from a host and the app's id in an event."""

    action: RequestAction
    url: str
    mid: int
    body: bytes = b""
    format: int = FORMAT_ATTRIBUTES
    sender: int = 0

    def encode(self) -> bytes:
        """Encode the payload of a REQUEST or INSTALL frame. Raises ValueError for a url that cannot be sent."""
        url = self.url.encode() + b"\0"
        if b"\0" in url[:-1] or len(url) > 0xFFFF:
            raise ValueError(f"a url of {len(url)} bytes cannot be sent: {self.url[:60]!r}")
        head = _REQUEST.pack(
            PROTOCOL_VERSION, self.action, self.format, self.mid, self.sender, len(url), len(self.body)
        )
        return head + url + self.body

    @classmethod
    def decode(cls, payload: bytes) -> WasmachineRequest:
        """ProtocolError unless the inner lengths add up to the payload exactly."""
        action, form, mid, sender, url_size, body_size = _head(_REQUEST, payload)
        if _REQUEST.size + url_size + body_size != len(payload):
            text = f"a request of {len(payload)} bytes claims a url of {url_size} and a body of {body_size} bytes"
            raise ProtocolError(text)
        try:
            known = RequestAction(action)
        except ValueError as exc:
            raise ProtocolError(f"a request with the unknown action {action}") from exc
        body_at = _REQUEST.size + url_size
        return cls(known, text_of(payload[_REQUEST.size : body_at]), mid, payload[body_at:], form, sender)


class Response(msgspec.Struct, frozen=True):
    """`status` may be a number that CoapCode does not have; `receiver` carries nothing that a host needs."""

    status: int
    mid: int
    body: bytes = b""
    format: int = FORMAT_ATTRIBUTES
    receiver: int = 0

    def encode(self) -> bytes:
        """Encode the payload of a RESPONSE frame."""
        head = _RESPONSE.pack(PROTOCOL_VERSION, self.status, self.format, self.mid, self.receiver, len(self.body))
        return head + self.body

    @classmethod
    def decode(cls, payload: bytes) -> Response:
        status, form, mid, receiver, body_size = _head(_RESPONSE, payload)
        if _RESPONSE.size + body_size != len(payload):
            raise ProtocolError(f"a response of {len(payload)} bytes claims a body of {body_size} bytes")
        return cls(status, mid, payload[_RESPONSE.size :], form, receiver)


def check_app_name(name: str) -> str:
    """Return the name; it stands in a url and becomes a folder below /storage. Raises DeployRejected."""
    if not _NAME.fullmatch(name) or name in {".", ".."} or len(name) > MAX_NAME_BYTES:
        text = f"{name[:40]!r} cannot be an app's name"
        raise DeployRejected(text, next_step=f"use 1 to {MAX_NAME_BYTES} letters, digits, '_', '-' and '.'")
    return name


def install_request(
    mid: int,
    name: str,
    wasm: bytes,
    *,
    heap_bytes: int = DEFAULT_HEAP_BYTES,
    timers: int = DEFAULT_TIMERS,
    watchdog_ms: int = DEFAULT_WATCHDOG_MS,
) -> WasmachineRequest:
    """To be sent in an INSTALL frame."""
    terms = f"name={check_app_name(name)}&type=wasm&heap={heap_bytes}&timers={timers}&wd={watchdog_ms}"
    return WasmachineRequest(RequestAction.PUT, f"{APPLET_URL}?{terms}", mid, wasm, FORMAT_RAW)


def uninstall_request(mid: int, name: str) -> WasmachineRequest:
    return WasmachineRequest(RequestAction.DELETE, f"{APPLET_URL}?name={check_app_name(name)}", mid)


def query_request(mid: int, name: str | None = None) -> WasmachineRequest:
    """One app, or all of them."""
    return WasmachineRequest(
        RequestAction.GET, APPLET_URL if name is None else f"{APPLET_URL}?name={check_app_name(name)}", mid
    )


def app_request(mid: int, name: str, url: str, body: bytes = b"") -> WasmachineRequest:
    """Make a request that the app `name` answers itself, under `/app/NAME/url`."""
    return WasmachineRequest(RequestAction.GET, f"/app/{check_app_name(name)}/{url.lstrip('/')}", mid, body)


def page_request(mid: int, name: str, request: bytes) -> WasmachineRequest:
    """Make a request for a page of the app `name`: `request` is one whole HTTP request."""
    return WasmachineRequest(RequestAction.POST, f"/app/{check_app_name(name)}/{PAGE_URL}", mid, request, FORMAT_RAW)


def _head(form: Struct, payload: bytes) -> tuple[Any, ...]:
    """Read the head's values after its version, which is checked."""
    if len(payload) < form.size:
        raise ProtocolError(f"a message of {len(payload)} bytes, its head alone has {form.size}")
    version, *values = form.unpack_from(payload)
    if version != PROTOCOL_VERSION:
        raise ProtocolError(f"a message of version {version}, expected {PROTOCOL_VERSION}")
    return tuple(values)
