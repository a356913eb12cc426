"""A request to the host as both clients send it, and its answer read. No IO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from microclaw.errors import MicroclawError, ProtocolError, UnknownName
from microclaw.text import clean_text
from microclaw.wire.host_api import Failure

REQUEST_TIMEOUT_S = 60.0  # the longest silent call; streams send a keepalive every few seconds
MAX_REPLY_BYTES = 64 << 20
MAX_FILE_BYTES = 16 << 30  # to a disk: the most that one task may write (config: tasks.disk_mb)
_DIAGNOSTIC_LEVELS = 8
PREFER_WAIT = "wait=300"  # RFC 7240: it waits for an approval itself (api.waiting)


class HostError(MicroclawError):
    """The host answered with an error; it keeps the host's code and exit code. `status`: HTTP's, 200 in a stream.

    Its texts are cleaned: what prints them sends a terminal nothing that steers it.
    """

    def __init__(self, failure: Failure, status: int = 200) -> None:
        failure = _printable(failure)
        super().__init__(failure.message, next_step=failure.next_step)
        self.code = failure.code
        self.exit_code = failure.exit_code
        self.failure = failure
        self.status = status


Query: TypeAlias = Mapping[str, str | float | bool | Sequence[str] | None]
"""The values of a query by name; None is left out, several are several parameters of that name."""


@dataclass(frozen=True, slots=True)
class HostRequest:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Query | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        given = {name: _query_value(value) for name, value in (self.query or {}).items() if value is not None}
        return f"{self.path}?{urlencode(given, doseq=True)}" if given else self.path

    @property
    def payload(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    def headers_with(self, more: Mapping[str, str]) -> dict[str, str]:
        typed = {} if self.body is None else {"Content-Type": "application/json"}
        waits = {} if self.method == "GET" else {"Prefer": PREFER_WAIT}
        return {**more, **typed, **waits, **self.headers}


def decision(approval_id: str, *, approved: bool) -> HostRequest:
    """Yes or no to what waits under this id."""
    return HostRequest("POST", f"/v1/approvals/{segment(approval_id)}", {"approved": approved, "wait_s": 0})


def too_long() -> ProtocolError:
    return ProtocolError(f"the host sent more than {MAX_REPLY_BYTES:,} bytes, which is all that is read")


def too_large(most_bytes: int) -> HostError:
    text = f"the host sent more than {most_bytes:,} bytes, which is all that is taken"
    return HostError(Failure("too_large", text, "microclaw task get writes a file to the disk; or take more of it"))


def segment(name: str, see: str = "the list command of the same group shows the names") -> str:
    """A name as one segment of a path; UnknownName for one that nothing here can have."""
    if not name.strip() or "/" in name:
        raise UnknownName(f"there is nothing named {name[:80]!r} here", next_step=see)
    return quote(name, safe="")


def _printable(failure: Failure) -> Failure:
    return Failure(
        code=clean_text(failure.code, one_line=True),
        message=clean_text(failure.message),
        next_step=None if failure.next_step is None else clean_text(failure.next_step),
        diagnostics=tuple(_printable_values(found) for found in failure.diagnostics),
        exit_code=failure.exit_code if 1 <= failure.exit_code <= 255 else 1,  # an error is no success
    )


def _printable_values(value: Any, levels: int = _DIAGNOSTIC_LEVELS) -> Any:
    """JSON with every text in it cleaned; what is deeper than a host's own diagnostics is left out."""
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not levels:
        return None
    if isinstance(value, Mapping):
        return {clean_text(name): _printable_values(one, levels - 1) for name, one in value.items()}
    return [_printable_values(one, levels - 1) for one in value]


def _query_value(value: str | float | Sequence[str]) -> str | Sequence[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
