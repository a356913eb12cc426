"""A device's transport over its link: the calls of registry/calls.py, and programs in pieces. The device may be away.

In a cluster the device may be connected to another host, or move during a call: a call goes to the device's host. It is
repeated at another host only if that is safe, which DeviceMoved says.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias, TypeVar, cast

from msgspec import Meta, Struct, ValidationError, structs

from microclaw.conversion import convert
from microclaw.devices.link.app_pages import ask_page
from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.edge_pages import MAX_CURSOR, EdgePages, EdgesAnswer
from microclaw.devices.link.method_calls import ask
from microclaw.devices.registry import calls
from microclaw.devices.registry.calls import (
    AppInstall,
    AppList,
    AppPage,
    AppStates,
    Call,
    DeviceRestart,
    EdgeLog,
    EdgesRead,
    Restart,
)
from microclaw.devices.registry.transport import Transport
from microclaw.errors import (
    DeployRejected,
    DeviceError,
    DeviceMoved,
    DeviceTimeout,
    NotSupported,
    OutcomeUnknown,
    ProtocolError,
)
from microclaw.events import PROGRAM_KINDS, EvidenceKind, ProgramKind
from microclaw.network_use import NO_NETWORK
from microclaw.text import host_called
from microclaw.wire.link.values import Value, ValueMap

# Only hosts of a cluster load what calls other hosts.
if TYPE_CHECKING:
    from microclaw.devices.registry.remote_calls import RemoteCalls

R = TypeVar("R")
T = TypeVar("T")


def read_value(call: Call[Any], value: Value, endpoint: str) -> Any:
    """Convert a device's answer to the typed answer, of edges to one page. Raises ProtocolError if it is another."""
    kind = _ANSWERS.get(type(call)) or call.answer_type()
    if kind is NoneType:
        return None
    answer = _convert(call, value, kind, endpoint)
    match answer:
        case dict():
            facts = {key: fact for key, fact in answer.items() if isinstance(fact, str | int | float | bool)}
            return calls.DeviceFacts(facts)
        case _Apps(apps):
            return _with_states(_convert(call, apps, tuple[calls.AppEntry, ...], endpoint), value)
        case _States(apps):
            return _convert(call, apps, tuple[calls.AppState, ...], endpoint)
        case _:
            return answer


def _convert(call: Call[Any], value: object, kind: type[T], endpoint: str) -> T:
    if value is None:
        value = {}
    try:
        return convert(value, kind, from_attributes=True)
    except ValidationError as exc:
        raise ProtocolError(
            f"{endpoint} answered {call.method} with an invalid value: {exc}",
            next_step="is its firmware of this version? microclaw device show",
        ) from exc


def _with_states(entries: tuple[calls.AppEntry, ...], value: Value) -> tuple[calls.AppEntry, ...]:
    """Return the programs of a list, each with its state if the list has the states of all of them."""
    try:
        apps = convert(value, _States).apps
        states = convert(apps, tuple[calls.AppState, ...], from_attributes=True)
    except ValidationError:
        # A device of another make may list only names.
        return entries
    return tuple(structs.replace(entry, state=state) for entry, state in zip(entries, states, strict=True))


class _App(Struct, rename={"heap_bytes": "heap"}):
    """An entry of `apps.list`; renamed where docs/protocols/link-methods.md differs from devices/registry/calls.py."""

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
    # 32 bytes, or their hexadecimal digits.
    digest: Any = None
    every_ms: _Ms = 0
    stop_after_ms: _Ms = 0
    count: _Ms = 0
    missed: _Ms = 0
    next_in_ms: _Ms | None = None
    running_ms: _Ms | None = None
    last: _LastRun | None = None

    @property
    def sha256(self) -> str | None:
        if isinstance(self.digest, bytes):
            return self.digest.hex()
        digits: str | None = self.digest
        return digits

    @property
    def runs(self) -> calls.AppRuns | None:
        if not self.every_ms and not self.stop_after_ms:
            return None
        runs = calls.AppRuns(
            self.every_ms,
            self.stop_after_ms,
            self.count,
            self.missed,
            self.next_in_ms,
            self.running_ms,
        )
        if self.last is None:
            return runs
        last = self.last
        return structs.replace(runs, last_ago_ms=last.ago_ms, last_took_ms=last.took_ms, last_how=last.how)


class _States(Struct):
    apps: list[_State]


# Other calls have their own answer type.
_ANSWERS: Final[dict[type[Call[Any]], Any]] = {
    calls.DeviceInfo: dict[str, Any],
    calls.DeviceStatusRead: dict[str, Any],
    AppList: _Apps,
    AppStates: _States,
    EdgesRead: EdgesAnswer,
}


_UPLOAD: Final = frozenset({"apps.begin", "apps.write", "apps.commit"})
# A board that reads edges counts them, so its pins are evidence.
_EDGES: Final = "edges.read"
# A board has no more edges than this.
MAX_EDGE_PAGES: Final = 256
_OF_NEWER_FIRMWARE: Final = {
    "runs no programs at intervals yet, so the times cannot be kept there": ("every_ms", "stop_after_ms"),
    "gives programs no network yet": ("hosts", "ports"),
}
CHUNK_BYTES: Final = 4096
# A board without PSRAM holds each piece three times, and its heap must not grow for that.
_PY_CHUNK_BYTES: Final = 1024
MAX_RESUMES: Final = 4
_PIECE_S: Final = 5.0
_LEAST_S: Final = 1.0
# This host may learn of a device's move later than the host that it called, and of a dead host only when its lease
# ends, so it tries again after these times.
_FIRST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class LinkTransport(Transport):
    """The transport `link:<the id that the device's credentials name>`. The device connects, so this opens nothing.

    `remote` calls the other hosts of a cluster.
    """

    connects_itself = True

    def __init__(self, link: DeviceLink, remote: RemoteCalls | None) -> None:
        self.endpoint = link.endpoint
        self.link = link
        self._remote = remote

    @property
    def here(self) -> LinkTransport:
        """The same transport, which calls no other host."""
        return LinkTransport(self.link, None)

    @property
    def online(self) -> bool:
        if self._remote is None:
            return self.link.online
        return self.link.is_connected_anywhere

    @property
    def revoked(self) -> bool:
        return self.link.is_revoked

    @property
    def capabilities(self) -> frozenset[str]:
        """The methods that the device offers, by their names in devices/registry/calls.py, and its log lines."""
        methods = self.link.capabilities
        offered = set(_CALLS & methods)
        if methods >= _UPLOAD:
            offered.add(AppInstall.method)
        if AppList.method in methods:
            offered.add(AppStates.method)
        if methods:
            # The host itself keeps the log lines.
            offered.add(calls.LogsRead.method)
        return frozenset(offered)

    @property
    def kinds(self) -> tuple[ProgramKind, ...]:
        """The kinds of programs of its last `hello` that this host can build."""
        presence = self.link.presence
        device_kinds: Collection[str] = ("wasm",)
        if presence is not None and presence.kinds:
            device_kinds = presence.kinds
        return tuple(kind for kind in PROGRAM_KINDS if kind in device_kinds)

    @property
    def evidence(self) -> EvidenceKind:
        return "counted" if _EDGES in self.link.capabilities else "reported"

    async def call(self, call: Call[R], timeout_s: float) -> R:
        if call.method not in self.capabilities:
            raise NotSupported(
                f"{self.endpoint} does not offer {call.method}", next_step="see its capabilities: microclaw device show"
            )
        if self._remote is None:
            return cast("R", await self._do(call, timeout_s))
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            return cast("R", await self._call_current_host(call, began_s + timeout_s))
        except OutcomeUnknown:
            # The host that sent the restart may not see the new boot.
            if not isinstance(call, DeviceRestart) or not await self._has_restarted(began_s, began_s + timeout_s):
                raise
            return cast("R", Restart(round(now_s() - began_s, 1)))

    async def _has_restarted(self, began_s: float, deadline: float) -> bool:
        """Return True if the device's current boot began after `began_s`, a time of the loop's clock."""
        now_s = asyncio.get_running_loop().time
        if now_s() >= deadline:
            return False
        try:
            status: calls.DeviceFacts = await self._call_current_host(calls.DeviceStatusRead(), deadline)
        except DeviceError:
            return False
        uptime_ms = status.values.get("uptime_ms")
        # A bool is not an uptime, although it is an int.
        if type(uptime_ms) not in (int, float):
            return False
        return 0 <= float(uptime_ms or 0) / 1000 < now_s() - began_s

    async def _call_current_host(self, call: Call[Any], deadline: float) -> Any:
        """Call the device at its current host, and again if it moved, until the deadline."""
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
            return await self._read_edges(call, timeout_s)
        if isinstance(call, DeviceRestart):
            return await self._restart(call, timeout_s)
        method = AppList.method if isinstance(call, AppStates) else call.method
        if isinstance(call, AppPage):
            return await ask_page(self.link, call, timeout_s)
        # The fields of a call have the names of the link.
        params = structs.asdict(call)
        value = await ask(self.link, method, params, idempotent=call.idempotent, timeout_s=timeout_s)
        return read_value(call, value, self.endpoint)

    async def _restart(self, call: DeviceRestart, timeout_s: float) -> Restart:
        """Restart the device, and wait for another boot.

        The answer proves nothing, because the device sends it before the restart, or it is lost in the restart.
        """
        now_s = asyncio.get_running_loop().time
        boots = self.link.boots
        began_s = now_s()
        boot_count = boots.count
        try:
            await ask(self.link, call.method, {}, idempotent=False, timeout_s=timeout_s)
        except OutcomeUnknown:
            if boots.count == boot_count:
                raise
        if not await boots.wait_for_another(boot_count, timeout_s - (now_s() - began_s)):
            raise self._no_restart_error(timeout_s)
        return Restart(round(now_s() - began_s, 1))

    def _no_restart_error(self, timeout_s: float) -> OutcomeUnknown:
        host = self.link.other_host
        if host is None:
            state = f"did not come back within {timeout_s:.0f} s"
        else:
            state = f"is connected to the host {host_called(host)}"
        return OutcomeUnknown(
            f"{self.link.name} accepted the restart, and {state}",
            next_step=f"see whether it is back: microclaw device show {self.link.name}",
        )

    async def _read_edges(self, call: EdgesRead, timeout_s: float) -> EdgeLog:
        """Read pages of 256 edges, which is the most of a message, while the device has more."""
        pages = EdgePages(self.link.name, min(call.cursor, MAX_CURSOR))
        for _ in range(MAX_EDGE_PAGES):
            params: ValueMap = {"cursor": pages.cursor}
            value = await ask(self.link, call.method, params, idempotent=True, timeout_s=timeout_s)
            pages.add(read_value(call, value, self.endpoint))
            if not pages.wants_more:
                break
        return pages.log()


_OTHERS: Final = {"apps.install", "apps.states", "apps.request", "logs.read", "console.read", "pwm.read", "parts.read"}
_CALLS: Final = calls.CALLS.keys() - _OTHERS


async def install(link: DeviceLink, call: AppInstall, timeout_s: float) -> None:
    """Upload a program in pieces, resumed by offset and checked by hash, and start it.

    With `autostart` the device also starts it after a power cut. Raises DeployRejected, DeviceError. After
    OutcomeUnknown the device may or may not have it: call `apps.list`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    for attempt in range(MAX_RESUMES + 1):
        try:
            await _upload(link, call, deadline)
            break
        except DeviceTimeout:
            # A piece or its answer was lost with a connection: `apps.begin` answers with the offset to continue at.
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
        "autostart": call.autostart,
    }
    if call.every_ms is not None or call.stop_after_ms is not None:
        begin |= {"every_ms": call.every_ms or 0, "stop_after_ms": call.stop_after_ms or 0}
    if call.kind == "py" and call.network != NO_NETWORK:
        begin |= {"hosts": [*call.network.hosts], "ports": [*call.network.ports]}
    left_s = _left_s(deadline)
    answer = await ask(link, "apps.begin", begin, idempotent=True, timeout_s=left_s)
    _check_accepted(link, begin, answer)
    offset = _offset(link, answer, 0, len(code))
    if call.kind == "py":
        chunk_bytes = _PY_CHUNK_BYTES
    else:
        chunk_bytes = CHUNK_BYTES
    while offset < len(code):
        piece: dict[str, Value] = {"offset": offset, "data": code[offset : offset + chunk_bytes]}
        limit_s = min(_left_s(deadline), _PIECE_S)
        answer = await ask(link, "apps.write", piece, idempotent=True, timeout_s=limit_s)
        offset = _offset(link, answer, offset + 1, len(code))


def _check_accepted(link: DeviceLink, begin: Mapping[str, Value], answer: Value) -> None:
    """Raise DeployRejected for firmware that does not repeat times or network: it is older. No piece was sent yet."""
    accepted: Mapping[str, Value] = answer if isinstance(answer, dict) else {}
    for fault, keys in _OF_NEWER_FIRMWARE.items():
        if any(begin.get(key) and accepted.get(key) != begin[key] for key in keys):
            step = "update it: microclaw flash; or leave out its times or its network"
            raise DeployRejected(f"the firmware of {link.name} {fault}", next_step=step)


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
    """Return the seconds until the deadline. Raises DeviceTimeout if they are too few for another answer."""
    left_s = deadline - asyncio.get_running_loop().time()
    if left_s < _LEAST_S:
        raise DeviceTimeout("the upload took too long; nothing was started", next_step="try again")
    return left_s
