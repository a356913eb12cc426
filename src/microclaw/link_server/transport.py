"""A device's transport over its link: calls of the one vocabulary, programs in pieces. The device may be away.

In a cluster its link may be at another host, or nowhere yet, also in mid-call: a call goes where the device is. It is
made again at another host only where that is safe: DeviceMoved says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Meta, Struct, ValidationError, convert, structs

from microclaw import errors
from microclaw.devices import calls
from microclaw.devices.calls import AppInstall, AppList, AppStates, Call, DeviceRestart, EdgeLog, EdgesRead, Restart
from microclaw.devices.transport import Transport
from microclaw.errors import (
    CallRejected,
    DeployRejected,
    DeviceError,
    DeviceMoved,
    DeviceTimeout,
    MicroclawError,
    NotSupported,
    OutcomeUnknown,
    ProtocolError,
)
from microclaw.events import PROGRAM_KINDS, EvidenceKind, ProgramKind
from microclaw.link_server.device_link import DeviceLink, RemoteDevices
from microclaw.link_server.edge_pages import MAX_CURSOR, EdgePages, EdgesAnswer
from microclaw.text import host_called
from microclaw.wire.link.values import Value, ValueMap

R = TypeVar("R")
T = TypeVar("T")

_ERRORS: Final[dict[str, type[MicroclawError]]] = {
    "not_supported": NotSupported,
    "pin_refused": errors.PinRefused,
    "app_exists": errors.AppExists,
    "app_not_found": errors.AppNotFound,
    "too_many_apps": errors.TooManyApps,
    "invalid_module": errors.InvalidModule,
    "too_large": errors.ImageTooLarge,
    "expired": DeviceTimeout,
}
_CODES: Final = frozenset(
    {*_ERRORS, "bad_params", "no_upload", "wrong_offset", "hash_mismatch", "failed"}
)  # docs/protocols/link-methods.md


async def ask(link: DeviceLink, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Value:
    """The value of the device's result; its error as ours. A code that the contract does not name is `failed`."""
    result = await link.calls.call(method, params, idempotent=idempotent, timeout_s=timeout_s)
    if result.ok:
        return result.value
    told = result.error.code if result.error is not None else "failed"
    code = told if told in _CODES else "failed"
    if result.error is not None:
        text = result.error.message[:300]
    else:
        text = "no reason given"
    error = _ERRORS.get(code, CallRejected)
    foreign = result.error is not None and bool(text)
    raise error(f"{method}: {text or code}", next_step=_next_step(code, method), foreign=foreign)


def read_value(call: Call[Any], value: Value, endpoint: str) -> Any:
    """The typed answer, of edges a page of them; ProtocolError when the device's is another."""
    kind = _ANSWERS.get(type(call)) or call.answer_type()
    if kind is NoneType:
        return None
    answer = _converted(call, value, kind, endpoint)
    match answer:
        case dict():
            return calls.DeviceFacts({k: v for k, v in answer.items() if isinstance(v, str | int | float | bool)})
        case _Apps(apps):
            return _converted(call, apps, tuple[calls.AppEntry, ...], endpoint)
        case _States(apps):
            return _converted(call, apps, tuple[calls.AppState, ...], endpoint)
        case _:
            return answer


def _converted(call: Call[Any], value: object, kind: type[T], endpoint: str) -> T:
    try:
        return convert({} if value is None else value, kind, from_attributes=True)
    except ValidationError as exc:
        raise ProtocolError(
            f"{endpoint} answered {call.method} with another value than it has: {exc}",
            next_step="is its firmware of this version? microclaw device show",
        ) from exc


class _App(Struct, rename={"heap_bytes": "heap"}):
    """As `apps.list` has it, but for what docs/protocols/link-methods.md calls otherwise than devices/calls.py."""

    name: str
    heap_bytes: int = 0


class _Apps(Struct):
    apps: list[_App]


_Ms: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]


class _LastRun(Struct):
    ago_ms: _Ms
    took_ms: _Ms
    how: Literal["returned", "exited", "stopped", "trapped"]


_NAMES: Final = {"heap_bytes": "heap", "peak_heap_bytes": "peak_heap", "peak_stack_bytes": "peak_stack",
                 "digest": "sha256", "count": "runs"}  # fmt: skip


class _State(_App, kw_only=True, rename=_NAMES):
    state: str
    error: str | None = None
    peak_heap_bytes: int = 0
    peak_stack_bytes: int = 0
    pins: tuple[int, ...] = ()
    digest: Any = None  # 32 bytes, or their hexadecimal digits
    every_ms: _Ms = 0
    stop_after_ms: _Ms = 0
    count: _Ms = 0
    missed: _Ms = 0
    next_in_ms: _Ms | None = None
    running_ms: _Ms | None = None
    last: _LastRun | None = None

    @property
    def sha256(self) -> str | None:
        return self.digest.hex() if isinstance(self.digest, bytes) else self.digest

    @property
    def runs(self) -> calls.AppRuns | None:
        if not self.every_ms and not self.stop_after_ms:
            return None
        if self.last is None:
            last = ()
        else:
            last = structs.astuple(self.last)
        now = (self.missed, self.next_in_ms, self.running_ms)
        return calls.AppRuns(self.every_ms, self.stop_after_ms, self.count, *now, *last)


class _States(Struct):
    apps: list[_State]


def _next_step(code: str, method: str) -> str | None:
    if code == "not_supported":
        return "microclaw device show lists what it offers"
    return "microclaw app list" if method.startswith("apps.") else None


_ANSWERS: Final[dict[type[Call[Any]], Any]] = {  # of others the call's own
    calls.DeviceInfo: dict[str, Any],
    calls.DeviceStatus: dict[str, Any],
    AppList: _Apps,
    AppStates: _States,
    EdgesRead: EdgesAnswer,
}


_UPLOAD: Final = frozenset({"apps.begin", "apps.write", "apps.commit"})
_PINS: Final = "edges.read"
MAX_EDGE_PAGES: Final = 256  # as much as a board keeps
CHUNK_BYTES: Final = 4096
MAX_RESUMES: Final = 4
_PIECE_S: Final = 5.0
_LEAST_S: Final = 1.0
# This host may hear of a device's move later than the one that it asked, and of a dead host only when its lease ends.
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class LinkTransport(Transport):
    """`link:<the id that the device's credentials name>`. Connections come from the device: nothing is opened here.

    `remote` asks the other hosts of a cluster.
    """

    connects_itself = True

    def __init__(self, link: DeviceLink, remote: RemoteDevices | None) -> None:
        self.endpoint = link.endpoint
        self.link = link
        self._remote = remote

    @property
    def here(self) -> LinkTransport:
        """It asks no other host."""
        return LinkTransport(self.link, None)

    @property
    def online(self) -> bool:
        return self.link.online if self._remote is None else self.link.anywhere

    @property
    def revoked(self) -> bool:
        return self.link.is_revoked

    @property
    def capabilities(self) -> frozenset[str]:
        """The methods that the device offers, by their names in devices/calls.py, and its log lines."""
        known = self.link.capabilities
        offered = {method for method in _CALLS if method in known}
        if known >= _UPLOAD:
            offered.add(AppInstall.method)
        if AppList.method in known:
            offered.add(AppStates.method)
        if known:
            offered.add(calls.LogsRead.method)
        return frozenset(offered)

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """Those of its last `hello` that this host can build."""
        known = self.link.presence
        told = (known.kinds if known is not None else ()) or ("wasm",)
        return tuple(kind for kind in PROGRAM_KINDS if kind in told)

    @property
    def evidence(self) -> EvidenceKind:
        return "counted" if _PINS in self.link.capabilities else "reported"

    async def call(self, call: Call[R], timeout_s: float) -> R:
        if call.method not in self.capabilities:
            raise NotSupported(
                f"{self.endpoint} does not offer {call.method}", next_step="microclaw device show lists what it offers"
            )
        if self._remote is None:
            return cast("R", await self._do(call, timeout_s))
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            return cast("R", await self._wherever_it_is(call, began_s + timeout_s))
        except OutcomeUnknown:
            if not isinstance(call, DeviceRestart) or not await self._began_after(began_s, began_s + timeout_s):
                raise
            return cast("R", Restart(round(now_s() - began_s, 1)))

    async def _began_after(self, began_s: float, deadline: float) -> bool:
        """True if the device is in a boot that began since: the host that asked it to restart may not see that."""
        now_s = asyncio.get_running_loop().time
        if now_s() >= deadline:
            return False
        try:
            told: calls.DeviceFacts = await self._wherever_it_is(calls.DeviceStatus(), deadline)
        except DeviceError:
            return False
        uptime_ms = told.values.get("uptime_ms")
        return type(uptime_ms) in (int, float) and 0 <= float(uptime_ms or 0) / 1000 < now_s() - began_s

    async def _wherever_it_is(self, call: Call[Any], deadline: float) -> Any:
        now_s = asyncio.get_running_loop().time
        wait_s = _FIRST_WAIT_S
        while True:
            host = self.link.other_host
            left_s = deadline - now_s()
            try:
                if host is None or self._remote is None:
                    return await self._do(call, left_s)
                return await self._remote.call(host, self.endpoint, call, left_s)
            except DeviceMoved:
                if deadline - now_s() <= wait_s:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _do(self, call: Call[Any], timeout_s: float) -> Any:
        if isinstance(call, calls.LogsRead):
            ring = self.link.log
            if call.cursor < MAX_CURSOR:
                return ring.page(call.cursor)
            return ring.end()
        if isinstance(call, AppInstall):
            await install(self.link, call, timeout_s)
            return None
        if isinstance(call, EdgesRead):
            return await self._all_edges(call, timeout_s)
        if isinstance(call, DeviceRestart):
            return await self._restart(call, timeout_s)
        method = AppList.method if isinstance(call, AppStates) else call.method
        params = structs.asdict(call)  # their names are the link's
        value = await ask(self.link, method, params, idempotent=call.idempotent, timeout_s=timeout_s)
        return read_value(call, value, self.endpoint)

    async def _restart(self, call: DeviceRestart, timeout_s: float) -> Restart:
        """Its answer proves nothing: it comes before the restart, or is lost with it. Another boot does."""
        now_s = asyncio.get_running_loop().time
        boots = self.link.boots
        began_s = now_s()
        count = boots.count
        try:
            await ask(self.link, call.method, {}, idempotent=False, timeout_s=timeout_s)
        except OutcomeUnknown:
            if boots.count == count:
                raise
        if not await boots.another(count, timeout_s - (now_s() - began_s)):
            host = self.link.other_host
            if host is None:
                since = f"was not seen back within {timeout_s:.0f} s"
            else:
                since = f"is connected to the host {host_called(host)}"
            raise OutcomeUnknown(
                f"{self.link.name} was asked to restart and took it, and {since}",
                next_step=f"see whether it is back: microclaw device show {self.link.name}",
            )
        return Restart(round(now_s() - began_s, 1))

    async def _all_edges(self, call: EdgesRead, timeout_s: float) -> EdgeLog:
        """A message carries 256 edges: ask on while the device says that there are more."""
        pages = EdgePages(self.link.name, min(call.cursor, MAX_CURSOR))
        for _ in range(MAX_EDGE_PAGES):
            params: ValueMap = {"cursor": pages.cursor}
            value = await ask(self.link, call.method, params, idempotent=True, timeout_s=timeout_s)
            pages.add(read_value(call, value, self.endpoint))
            if not pages.wants_more:
                break
        return pages.log()


_OTHERS: Final = {"apps.install", "apps.states", "apps.request", "logs.read", "console.read", "pwm.read"}
_CALLS: Final = calls.CALLS.keys() - _OTHERS


async def install(link: DeviceLink, call: AppInstall, timeout_s: float) -> None:
    """Begin, write in pieces (resumed by offset), commit (checked by hash). Raises DeployRejected, DeviceError.

    The program starts, and comes back by itself after a power cut.
    After OutcomeUnknown the device may or may not have it: ask with `apps.list`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    for attempt in range(MAX_RESUMES + 1):
        try:
            await _upload(link, call, deadline)
            break
        except DeviceTimeout:
            # A piece or its answer was lost with a connection: `apps.begin` again answers where to go on.
            if attempt == MAX_RESUMES or loop.time() >= deadline:
                raise
    await ask(link, "apps.commit", {}, idempotent=False, timeout_s=_left_s(deadline))


async def _upload(link: DeviceLink, call: AppInstall, deadline: float) -> None:
    code = call.code
    begin: dict[str, Value] = {
        "name": call.name,
        "kind": call.kind,
        "size": len(code),
        "sha256": hashlib.sha256(code).digest(),
        "heap": call.heap_bytes,
        "autostart": True,
    }
    if call.every_ms is not None or call.stop_after_ms is not None:
        begin |= {"every_ms": call.every_ms or 0, "stop_after_ms": call.stop_after_ms or 0}
    left_s = _left_s(deadline)
    answer = await ask(link, "apps.begin", begin, idempotent=True, timeout_s=left_s)
    _check_times(link, begin, answer)
    offset = _offset(link, answer, 0, len(code))
    while offset < len(code):
        piece: dict[str, Value] = {"offset": offset, "data": code[offset : offset + CHUNK_BYTES]}
        limit_s = min(_left_s(deadline), _PIECE_S)
        answer = await ask(link, "apps.write", piece, idempotent=True, timeout_s=limit_s)
        offset = _offset(link, answer, offset + 1, len(code))


def _check_times(link: DeviceLink, begin: Mapping[str, Value], answer: Value) -> None:
    """Raise DeployRejected for firmware that is older than intervals: it would run the program on. Nothing is begun."""
    for key in ("every_ms", "stop_after_ms"):
        if key in begin and not (isinstance(answer, dict) and answer.get(key) == begin[key]):
            raise DeployRejected(
                f"the firmware of {link.name} runs no programs at intervals yet, so the times cannot be kept there",
                next_step="update it: microclaw flash; or leave out --every and --stop-after",
            )


def _offset(link: DeviceLink, value: Value, least: int, most: int) -> int:
    if isinstance(value, dict):
        offset = value.get("offset")
    else:
        offset = value
    if type(offset) is not int or not least <= offset <= most:
        raise ProtocolError(
            f"{link.endpoint} answered an upload with the offset {offset!r:.40}, expected {least} to {most}",
            next_step="restart the device, then deploy again",
        )
    return offset


def _left_s(deadline: float) -> float:
    """Return the seconds until then. Raises DeviceTimeout if no answer could come in them, before anything is sent."""
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s < _LEAST_S:
        raise DeviceTimeout("the upload took too long; nothing was started", next_step="try again")
    return left_s
