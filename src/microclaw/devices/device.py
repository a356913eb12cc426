"""A device: one board with its faces. Calls go through the bus, one at a time a device; no protocol is spoken here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from microclaw.boards.profile import BoardProfile
from microclaw.bus.events import EvidenceKind
from microclaw.devices.calls import AppInstall, Call, DeviceFacts, DeviceInfo, DeviceStatus
from microclaw.devices.checks import check_call
from microclaw.devices.face import Face, Presence
from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError, NotSupported

R = TypeVar("R")

QUEUE_DEPTH = 32
CALL_TIMEOUT_S = 15.0
FURTHER_FACTS_S = 3.0
# A real board takes a large image at some 100 KB/s over a poor Wi-Fi; the answer comes after it was loaded.
_INSTALL_BYTES_A_SECOND = 50_000
_BEST_EVIDENCE_FIRST: tuple[EvidenceKind, ...] = ("counted", "reported", "accepted")


class Handler(Protocol):
    async def __call__(self, message: Any, /) -> Any: ...


class RequestBus(Protocol):
    """What devices need of the bus."""

    def serve(self, subject: str, handler: Handler, *, depth: int) -> AbstractAsyncContextManager[Any]: ...

    async def request(self, subject: str, message: Any, timeout_s: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A call on its way to `device.<id>`; `deadline` is on the event loop's clock.

    Without `wait` a device that is away is an error at once.
    """

    call: Call[Any]
    deadline: float
    wait: bool = True


class Device:
    """One board. Names and faces change through the Registry alone."""

    def __init__(
        self,
        *,
        device_id: str,
        name: str,
        board: BoardProfile,
        labels: Iterable[str],
        faces: Iterable[Face],
        bus: RequestBus,
    ) -> None:
        self.device_id = device_id
        self.name = name
        self.board = board
        self.labels = tuple(labels)
        self.faces: tuple[Face, ...] = tuple(faces)
        self._bus = bus

    def __repr__(self) -> str:
        return f"<Device {self.name} ({self.board.title})>"

    @property
    def subject(self) -> str:
        return f"device.{self.device_id}"

    @property
    def face_ids(self) -> tuple[str, ...]:
        return tuple(face.face_id for face in self.faces)

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset().union(*(face.capabilities for face in self.faces))

    def supports(self, method: str) -> bool:
        return method in self.capabilities

    def evidence_of(self, method: str) -> EvidenceKind | None:
        """What an answer to this method proves at best; None when nothing offers it."""
        faces = self._faces_for(method)
        return faces[0].evidence if faces else None

    def face_for(self, method: str) -> Face:
        """The face that proves most; NotSupported names what there is."""
        faces = self._faces_for(method)
        if not faces:
            raise self._not_supported(method)
        return faces[0]

    async def call(self, call: Call[R], timeout_s: float | None = None, *, wait: bool = True) -> R:
        """Queue the call and wait for its answer; the time-out covers both.

        A device that comes and goes by itself is waited for, too, unless `wait` is False: DeviceUnreachable then.
        """
        check_call(self.board, call)
        self.face_for(call.method)
        limit_s = default_timeout_s(call) if timeout_s is None else timeout_s
        if not wait:
            self.check_present(call)  # not behind the calls that do wait
        request = DeviceRequest(call, asyncio.get_running_loop().time() + limit_s, wait)
        # The half second lets the face's own, better informed time-out come before the bus's.
        return cast("R", await self._bus.request(self.subject, request, limit_s + 0.5))

    async def handle(self, request: DeviceRequest) -> Any:
        """Serve one request from the bus: try the faces, best evidence first.

        A call that is not idempotent goes to one face alone: a second try could do it twice. What a device says of
        itself is the words of all its faces.
        """
        call = request.call
        faces = self._faces_for(call.method)
        if not faces:
            raise self._not_supported(call.method)
        if not request.wait:
            self.check_present(call)
        if isinstance(call, DeviceInfo | DeviceStatus):
            return await self._facts(call, faces, request.deadline)
        return await self._first_answer(call, faces, request.deadline)

    async def close(self) -> None:
        for face in self.faces:
            await face.close()

    async def _facts(self, call: Call[DeviceFacts], faces: Sequence[Face], deadline: float) -> DeviceFacts:
        """Every face knows something else; where two tell the same, the one that proves more counts.

        Once one has answered, another that does not is left out after FURTHER_FACTS_S.
        """
        values: dict[str, str | int | float | bool] = {}
        failures: list[MicroclawError] = []
        for asked, face in enumerate(faces):
            answered = len(failures) < asked
            limit = min(deadline, asyncio.get_running_loop().time() + FURTHER_FACTS_S) if answered else deadline
            try:
                told = await self._first_answer(call, (face,), limit)
            except MicroclawError as exc:
                failures.append(exc)
            else:
                values = {**told.values, **values}
        if len(failures) == len(faces):
            raise failures[0]
        return DeviceFacts(values)

    async def _first_answer(self, call: Call[R], faces: Sequence[Face], deadline: float) -> R:
        for position, face in enumerate(faces):
            remaining_s = deadline - asyncio.get_running_loop().time()
            if remaining_s <= 0:
                raise DeviceTimeout(
                    f"{call.method} waited too long behind other calls to {self.name}; it was not sent",
                    next_step="try again when the device is less busy",
                )
            last = position == len(faces) - 1
            try:
                return await face.call(call, remaining_s)
            except NotSupported:
                if last:
                    raise
            except DeviceUnreachable:
                if last or not call.idempotent:
                    raise
        raise AssertionError("the last face either answers or raises")

    def _faces_for(self, method: str) -> list[Face]:
        offering = [face for face in self.faces if method in face.capabilities]
        return sorted(offering, key=lambda face: (_is_away(face), _BEST_EVIDENCE_FIRST.index(face.evidence)))

    def check_present(self, call: Call[Any]) -> None:
        """DeviceUnreachable when nobody is there to take the call now."""
        faces = self._faces_for(call.method)
        if faces and _is_away(faces[0]):
            raise DeviceUnreachable(
                f"{self.name} is not connected; {call.method} was not sent",
                next_step=f"switch it on, or see when it was last here: microclaw device show {self.name}",
            )

    def _not_supported(self, method: str) -> NotSupported:
        there = ", ".join(self.face_ids) or "none"
        step = what_offers(method, self.name)
        if method.startswith("apps.") and self.board.firmware.no_stock_build is not None:
            step = f"{step} ({self.board.firmware.no_stock_build})"
        return NotSupported(f"{self.name} has no face that offers {method} (faces: {there})", next_step=step)


def _is_away(face: Face) -> bool:
    return isinstance(face, Presence) and not face.online


def default_timeout_s(call: Call[Any]) -> float:
    extra = len(call.wasm) / _INSTALL_BYTES_A_SECOND if isinstance(call, AppInstall) else 0.0
    return CALL_TIMEOUT_S + extra


def what_offers(method: str, name: str) -> str:
    """Which kind of face a method needs, and how to add one."""
    family = method.partition(".")[0]
    if method in ("apps.states", "pwm.read") or family in ("edges", "logs"):
        return "only a virtual board reports this: microclaw up --virtual 1"
    if family == "apps":
        return f"it needs ESP-WASMachine: microclaw device add {name} --wasmachine HOST:8080"
    if family in ("gpio", "adc", "pwm", "i2c", "device"):
        return f"it needs a serial face: microclaw device add {name} --serial /dev/ttyACM0"
    return "see what it offers: microclaw device show " + name
