"""Calls of devices/calls.py as `params` of the link and back (docs/protocols/link-methods.md). No IO but `ask`.

What a device answers is checked field by field: a wrong one is a ProtocolError that names it, never a None.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Protocol

from microclaw.devices.calls import (
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
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
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
from microclaw.wire.link.messages import Result, Value, ValueMap

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
MAX_ROWS: Final = 256
MAX_CURSOR: Final = 2**52  # above every entry; what a float of a device's language still counts exactly


class Asked(Protocol):
    """device_link.DeviceLink."""

    @property
    def endpoint(self) -> str: ...

    async def call(self, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Result: ...


async def ask(link: Asked, method: str, params: ValueMap, *, idempotent: bool, timeout_s: float) -> Value:
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
    fields = _Fields(call.method, value, endpoint)
    match call:
        case AppList():
            return tuple(AppEntry(row.text("name"), row.whole("heap", 0)) for row in fields.rows("apps"))
        case AppStates():
            return tuple(_app_state(row) for row in fields.rows("apps"))
        case I2cScan():
            return I2cAddresses(tuple(fields.wholes("addresses")))
        case I2cRead():
            return SensorReading(fields.text("sensor"), fields.numbers("values"))
        case DeviceInfo() | DeviceStatus():
            return DeviceFacts(fields.facts())
        case EdgesRead():
            edges = tuple(Edge(float(t), int(pin), int(level)) for t, pin, level in fields.triples("edges"))
            return EdgeLog(edges, fields.whole("cursor"), fields.whole("dropped", 0), fields.number("now_ms"))
        case _:
            return _pin_answer(call.method, fields)


def _pin_answer(method: str, fields: _Fields) -> Any:
    match method:
        case "gpio.set" | "gpio.get":
            return PinLevel(fields.whole("pin"), fields.whole("level"))
        case "adc.read":
            return AdcReading(fields.whole("pin"), fields.whole("raw"), fields.number("volts"))
        case "pwm.set":
            return PwmState(fields.whole("pin"), fields.whole("duty"), fields.whole("frequency_hz"))
        case _:
            return None


def _app_state(row: _Fields) -> AppState:
    return AppState(
        name=row.text("name"),
        state=row.text("state"),
        error=row.text("error", None),
        heap_bytes=row.whole("heap", 0),
        peak_heap_bytes=row.whole("peak_heap", 0),
        peak_stack_bytes=row.whole("peak_stack", 0),
        pins=tuple(row.wholes("pins", ())),
    )


def _next_step(code: str, method: str) -> str | None:
    if code == "not_supported":
        return "microclaw device show lists what it offers"
    return "microclaw app list" if method.startswith("apps.") else None


_NEEDED: Final = object()


class _Fields:
    """A map that a device sent, read by name and type."""

    def __init__(self, where: str, value: Value, endpoint: str) -> None:
        self._where = where
        self._endpoint = endpoint
        if not isinstance(value, dict):
            self._map: dict[str, Value] = {}
            if value is not None:
                raise self._wrong("value", "a map", value)
        else:
            self._map = value

    def whole(self, name: str, default: Any = _NEEDED) -> int:
        return int(self._get(name, int, "a whole number", default))

    def number(self, name: str, default: Any = _NEEDED) -> float:
        return float(self._get(name, (int, float), "a number", default))

    def text(self, name: str, default: Any = _NEEDED) -> Any:
        return self._get(name, str, "text", default)

    def wholes(self, name: str, default: Any = _NEEDED) -> list[int]:
        values = self._get(name, (list, tuple), "a list", default)
        if any(type(value) is not int for value in values):
            raise self._wrong(name, "whole numbers", values)
        return list(values)

    def numbers(self, name: str) -> dict[str, float]:
        values = self._get(name, dict, "a map", _NEEDED)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values.values()):
            raise self._wrong(name, "numbers by name", values)
        return {str(key): float(value) for key, value in values.items()}

    def rows(self, name: str) -> list[_Fields]:
        values = self._get(name, list, "a list", _NEEDED)
        return [_Fields(f"{self._where} {name}", value, self._endpoint) for value in values[:MAX_ROWS]]

    def triples(self, name: str) -> list[list[Any]]:
        values = self._get(name, list, "a list", _NEEDED)
        if any(not isinstance(row, list) or len(row) != 3 or any(isinstance(v, str) for v in row) for row in values):
            raise self._wrong(name, "rows of three numbers", values)
        return list(values)

    def facts(self) -> dict[str, str | int | float | bool]:
        return {key: value for key, value in self._map.items() if isinstance(value, str | int | float | bool)}

    def _get(self, name: str, kind: Any, expected: str, default: Any) -> Any:
        value = self._map.get(name)
        if value is None and default is not _NEEDED:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(name, expected, value)
        return value

    def _wrong(self, name: str, expected: str, value: object) -> ProtocolError:
        return ProtocolError(
            f"{self._endpoint} answered {self._where} with {name} = {value!r:.60}, expected {expected}",
            next_step="is its firmware of this version? microclaw device show",
        )
