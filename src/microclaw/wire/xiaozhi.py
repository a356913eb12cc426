"""xiaozhi's messages: texts and binary frames of its WebSocket, and what it asks at each start. No IO.

Source: the firmware 78/xiaozhi-esp32, version 2.4.2; docs/protocols/xiaozhi.md is the contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from struct import Struct
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from microclaw.conversion import decode_json
from microclaw.errors import ProtocolError

MAX_TEXT_BYTES: Final = 65_536
MAX_BINARY_BYTES: Final = 8_192
UP_RATE_HZ: Final = 16_000
UP_FRAME_MS: Final = 60
DOWN_RATE_HZ: Final = 24_000
DOWN_FRAME_MS: Final = 60
AUDIO: Final = 0  # the type of a binary frame
_V2: Final = Struct(">HHIII")
_V3: Final = Struct(">BBH")
SCHEME: Final = "xiaozhi:"
"""A device's address here is SCHEME and its MAC; what its token opens is called by `credential_of`."""
_CREDENTIAL: Final = "xiaozhi-"
_PLAIN_VERSION: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}")
_MAC: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_CLIENT: Final = re.compile(r"[0-9A-Za-z-]{8,64}")

Word: TypeAlias = Annotated[str, Meta(max_length=200)]
Mode: TypeAlias = Literal["auto", "manual", "realtime"]


class AudioParams(msgspec.Struct, frozen=True):
    format: Literal["opus"] = "opus"
    sample_rate: int = UP_RATE_HZ
    channels: Literal[1] = 1
    frame_duration: int = UP_FRAME_MS


class Features(msgspec.Struct, frozen=True):
    mcp: bool = False
    aec: bool = False


class XiaozhiHello(msgspec.Struct, frozen=True, tag="hello"):
    """The device's first message. Older firmware has no `features`."""

    transport: Literal["websocket"] = "websocket"
    version: Literal[1, 2, 3] = 1
    features: Features = Features()
    audio_params: AudioParams = AudioParams()


class Listen(msgspec.Struct, frozen=True, tag="listen"):
    """detect carries the wake word, or a text that the board wants done."""

    state: Literal["start", "stop", "detect"]
    mode: Mode = "auto"
    text: Annotated[str, Meta(max_length=2_000)] = ""


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Be silent now."""

    reason: Word = ""


class Mcp(msgspec.Struct, frozen=True, tag="mcp"):
    """A JSON-RPC message of the device's MCP server."""

    payload: dict[str, Any]


DeviceMessage: TypeAlias = XiaozhiHello | Listen | Abort | Mcp
_READER: Final = msgspec.json.Decoder(DeviceMessage)
_KNOWN: Final = frozenset({"hello", "listen", "abort", "mcp"})


def read_text(text: str) -> DeviceMessage | None:
    """Read a device's message; return None for a type that is not used (iot, goodbye). Raises ProtocolError."""
    data = text.encode()
    if len(data) > MAX_TEXT_BYTES:
        raise ProtocolError(f"a message of {len(data):,} bytes, at most {MAX_TEXT_BYTES:,}")
    try:
        message: DeviceMessage = _READER.decode(data)
        return message
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as exc:
        try:
            kind = json.loads(data).get("type")
        except (ValueError, AttributeError, RecursionError):
            kind = None
        if isinstance(kind, str) and kind not in _KNOWN:
            return None
        raise ProtocolError(f"a message that this host does not take: {str(exc)[:200]}") from exc


def write_text(kind: str, session_id: str, **members: Any) -> str:
    return json.dumps({"type": kind, "session_id": session_id, **members}, ensure_ascii=False)


def server_hello(session_id: str) -> str:
    audio = {"format": "opus", "sample_rate": DOWN_RATE_HZ, "channels": 1, "frame_duration": DOWN_FRAME_MS}
    return write_text("hello", session_id, transport="websocket", audio_params=audio)


def read_binary(data: bytes, version: int) -> bytes | None:
    """Read the Opus packet of a frame; return None for another kind. Raises ProtocolError."""
    if not 0 < len(data) <= MAX_BINARY_BYTES:
        raise ProtocolError(f"a frame of {len(data):,} bytes, at most {MAX_BINARY_BYTES:,}")
    if version == 1:
        return data
    head = _V2 if version == 2 else _V3
    if len(data) < head.size:
        raise ProtocolError(f"a frame of {len(data)} bytes in version {version}")
    values = head.unpack_from(data)
    kind = values[1 if version == 2 else 0]
    size = values[-1]
    if size != len(data) - head.size:
        raise ProtocolError(f"a frame says {size} bytes and has {len(data) - head.size}")
    if kind == AUDIO:
        return data[head.size :]
    return None


def write_binary(packet: bytes, version: int) -> bytes:
    """Encode the packet as this version of the protocol carries it."""
    if version == 2:
        return _V2.pack(2, AUDIO, 0, 0, len(packet)) + packet
    if version == 3:
        return _V3.pack(AUDIO, 0, len(packet)) + packet
    return packet


def read_mac(text: str | None) -> str:
    """Read the header Device-Id. Raises ProtocolError."""
    if not _MAC.fullmatch(mac := (text or "").strip().lower()):
        raise ProtocolError("the header Device-Id is no MAC address")
    return mac


def read_client(text: str | None) -> str:
    """Read the header Client-Id, a UUID that the device made for itself. Raises ProtocolError."""
    if not _CLIENT.fullmatch(client := (text or "").strip()):
        raise ProtocolError("the header Client-Id is no id")
    return client


def credential_of(mac: str) -> str:
    """Return the id that the device's token names. The link knows no such device: the token opens nothing there."""
    return _CREDENTIAL + mac.replace(":", "")


def endpoint_of(credential: str) -> str | None:
    """Return the device's address; None for a credential that is none of xiaozhi's."""
    digits = credential.removeprefix(_CREDENTIAL)
    mac = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    if digits != credential and _MAC.fullmatch(mac):
        return f"{SCHEME}{mac}"
    return None


class BoardDescription(msgspec.Struct, frozen=True):
    type: Word = ""
    name: Word = ""


class ApplicationInfo(msgspec.Struct, frozen=True):
    name: Word = ""
    version: Word = ""


class Report(msgspec.Struct, frozen=True):
    """A device's report at each start: only what this host reads."""

    board: BoardDescription = BoardDescription()
    application: ApplicationInfo = ApplicationInfo()

    @property
    def version(self) -> str:
        """Empty for one that is not of numbers and dots: the firmware aborts on it."""
        return self.application.version if _PLAIN_VERSION.fullmatch(self.application.version) else ""


def read_report(data: bytes) -> Report:
    """Read the body of its request for a configuration; a part that cannot be read counts as missing."""
    try:
        return decode_json(data or b"{}", Report, strict=False)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Report()


def configuration(
    report: Report,
    *,
    url: str,
    now_ms: int,
    zone_minutes: int,
    token: str | None = None,
    activation: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build the answer to a device's start.

    It has no `mqtt`, which the device would prefer. The firmware's version is its own, so that it looks for no other.
    """
    websocket: dict[str, Any] = {"url": url, "version": 1}
    if token is not None:
        websocket["token"] = token
    answer: dict[str, Any] = {
        "server_time": {"timestamp": now_ms, "timezone_offset": zone_minutes},
        "websocket": websocket,
    }
    if report.version:
        answer["firmware"] = {"version": report.version, "url": ""}
    if activation is not None:
        answer["activation"] = dict(activation)
    return answer
