"""Calls of devices/calls.py as `params` of the link and back (docs/protocols/link-methods.md). No IO but `ask`.

What a device answers is read by the types of the answer: a wrong field is a ProtocolError that names it, never a None.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from msgspec import Struct, ValidationError, convert

from microclaw.devices.calls import (
    AdcRead,
    AdcReading,
    AppEntry,
    AppList,
    AppState,
    AppStates,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceStatus,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
    SensorReading,
)
from microclaw.errors import (
    AppExists,
    AppNotFound,
    CallRejected,
    DeviceTimeout,
    ImageTooLarge,
    InvalidModule,
    MicroclawError,
    NotSupported,
    PinRefused,
    ProtocolError,
    TooManyApps,
)
from microclaw.events import Edge
from microclaw.link_server.device_link import DeviceLink
from microclaw.wire.link.values import Value, ValueMap

_ERRORS: Final[dict[str, type[MicroclawError]]] = {
    "not_supported": NotSupported,
    "pin_refused": PinRefused,
    "app_exists": AppExists,
    "app_not_found": AppNotFound,
    "too_many_apps": TooManyApps,
    "invalid_module": InvalidModule,
    "too_large": ImageTooLarge,
    "expired": DeviceTimeout,
}
MAX_CURSOR: Final = 2**52  # above every entry; what a float of a device's language still counts exactly


async def ask(link: DeviceLink, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Value:
    """The value of the device's result; its error as ours."""
    result = await link.call(method, params, idempotent=idempotent, timeout_s=timeout_s)
    if result.ok:
        return result.value
    code = result.error.code if result.error is not None else "failed"
    text = result.error.message[:300] if result.error is not None else "no reason given"
    raise _ERRORS.get(code, CallRejected)(f"{method}: {text or code}", next_step=_next_step(code, method))


def wire_method(call: Call[Any]) -> str:
    return AppList.method if isinstance(call, AppStates) else call.method


def params_of(call: Call[Any]) -> ValueMap:
    """The call's fields by their names, which are the link's."""
    params: ValueMap = {field.name: getattr(call, field.name) for field in dataclasses.fields(call)}
    if isinstance(call, EdgesRead):
        params["cursor"] = min(call.cursor, MAX_CURSOR)
    return params


def read_value(call: Call[Any], value: Value, endpoint: str) -> Any:
    """The typed answer; ProtocolError when the device's is another."""
    kind = _ANSWERS.get(type(call))
    if kind is None:
        return None
    try:
        answer = convert({} if value is None else value, kind)
    except ValidationError as exc:
        raise ProtocolError(
            f"{endpoint} answered {call.method} with another value than it has: {exc}",
            next_step="is its firmware of this version? microclaw device show",
        ) from exc
    match answer:
        case dict():
            return DeviceFacts({k: v for k, v in answer.items() if isinstance(v, str | int | float | bool)})
        case _Apps(apps):
            return tuple(AppEntry(app.name, app.heap or 0) for app in apps)
        case _States(apps):
            return tuple(
                AppState(a.name, a.state, a.error, a.heap or 0, a.peak_heap or 0, a.peak_stack or 0, a.pins or ())
                for a in apps
            )
        case _Edges(rows, cursor, now_ms, dropped):
            edges = tuple(Edge(t_ms, int(pin), int(level)) for t_ms, pin, level in rows)
            return EdgeLog(edges, cursor, dropped or 0, now_ms)
        case _:
            return answer


class _App(Struct):
    name: str
    heap: int | None = None


class _Apps(Struct):
    apps: list[_App]


class _State(_App, kw_only=True):
    state: str
    error: str | None = None
    peak_heap: int | None = None
    peak_stack: int | None = None
    pins: tuple[int, ...] | None = None


class _States(Struct):
    apps: list[_State]


class _Edges(Struct):
    edges: list[tuple[float, float, float]]  # some devices' languages have no whole numbers
    cursor: int
    now_ms: float
    dropped: int | None = None


def _next_step(code: str, method: str) -> str | None:
    if code == "not_supported":
        return "microclaw device show lists what it offers"
    return "microclaw app list" if method.startswith("apps.") else None


_ANSWERS: Final[dict[type[Call[Any]], Any]] = {
    GpioSet: PinLevel,
    GpioGet: PinLevel,
    AdcRead: AdcReading,
    PwmSet: PwmState,
    I2cScan: I2cAddresses,
    I2cRead: SensorReading,
    DeviceInfo: dict[str, Any],
    DeviceStatus: dict[str, Any],
    AppList: _Apps,
    AppStates: _States,
    EdgesRead: _Edges,
}
