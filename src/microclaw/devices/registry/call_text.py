"""Device methods as JSON, as words of a command line, and as a person says them. It calls no device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

import msgspec

from microclaw.conversion import convert, decode_json
from microclaw.devices.registry import calls
from microclaw.devices.registry.calls import (
    DEFAULT_PWM_HZ,
    MAX_DUTY,
    AdcRead,
    AppEntry,
    AppStart,
    AppStop,
    AppUndo,
    Call,
    DeviceRestart,
    GpioGet,
    GpioSet,
    PwmSet,
)
from microclaw.errors import ConfigError, UnknownName

# Installing and removing have stages of their own: they go through apps. A Wi-Fi password must not be an argument.
NOT_DIRECT = {
    "apps.install": "microclaw run",
    "apps.page": "microclaw app page",
    "apps.remove": "microclaw app uninstall",
    "parts.read": "microclaw device bench NAME",
    "wifi.list": "microclaw device wifi NAME",
    "wifi.set": "microclaw device wifi NAME SSID",
    "wifi.forget": "microclaw device wifi NAME SSID --forget",
}

CALLS: Mapping[str, type[Call[Any]]] = {
    method: kind for method, kind in calls.CALLS.items() if method not in NOT_DIRECT
}


def call_words(call: Call[Any], device: str = "") -> str:
    """Return a call as a person says it: "set pin 2 of lamp high"; a pin's call also works without the device."""
    of = device and f" of {device}"
    match call:
        case GpioSet(pin=pin, level=level):
            level_word = "high" if level else "low"
            return f"set pin {pin}{of} {level_word}"
        case PwmSet(pin=pin, duty=duty, frequency_hz=frequency_hz):
            if frequency_hz == DEFAULT_PWM_HZ:
                at = ""
            else:
                at = f" at {frequency_hz:,} Hz"
            return f"set PWM on pin {pin}{of} to {duty_words(duty)}{at} (duty {duty} of {MAX_DUTY})"
        case GpioGet(pin=pin):
            return f"read pin {pin}{of}"
        case AdcRead(pin=pin):
            return f"measure the voltage at pin {pin}{of}"
        case DeviceRestart():
            return f"restart {device}"
        case AppStart(name=name):
            return f"start {name} on {device}"
        case AppStop(name=name):
            return f"stop {name} on {device}"
        case AppUndo(name=name):
            return f"go back to the earlier {name} on {device}"
        case _:
            return f"{call.method} on {device}"


def duty_words(duty: int) -> str:
    """Return a duty of 0 to MAX_DUTY as a person says it: "about 30 %"."""
    percent = f"{round(duty * 100 / MAX_DUTY)} %"
    is_exact = duty * 100 % MAX_DUTY == 0
    return percent if is_exact else f"about {percent}"


def call_from(method: str, arguments: Mapping[str, Any]) -> Call[Any]:
    """Return the typed call; ConfigError names the argument that is missing, unknown or of a wrong type."""
    call_type = _call_type(method)
    unknown = sorted(set(arguments) - set(argument_names(method)))
    if unknown:
        raise ConfigError(f"{method} has no argument {unknown[0]}", next_step=_form(method))
    try:
        call: Call[Any] = convert(dict(arguments), call_type)
    except msgspec.ValidationError as exc:
        raise ConfigError(f"{method}: {exc}", next_step=_form(method)) from exc
    return call


def arguments_from_words(method: str, words: Sequence[str]) -> dict[str, Any]:
    """Parse `pin=2 level=1`, or `2 1` in the call's own order, into the types of the call."""
    call_type = _call_type(method)
    hints = get_type_hints(call_type)
    names = call_type.__struct_fields__
    arguments: dict[str, Any] = {}
    for index, word in enumerate(words):
        name, separator, text = word.partition("=")
        if not separator:
            if index >= len(names):
                raise ConfigError(f"{method} takes {len(names)} arguments, got {len(words)}", next_step=_form(method))
            # Without a name the position says which argument it is.
            name = names[index]
            text = word
        arguments[name] = _parse_argument(method, name, text, hints.get(name, str))
    return arguments


def argument_names(method: str) -> tuple[str, ...]:
    """Return the names of a call's arguments in its own order; none for an unknown method."""
    call_type = CALLS.get(method)
    if call_type is None:
        return ()
    return call_type.__struct_fields__


def result_value(result: object) -> Any:
    """Convert a call's answer to the values of JSON, a list of programs without their states: AppStates has those."""
    if isinstance(result, tuple):
        result = [_without_state(row) for row in result]
    return decode_json(msgspec.json.encode(result), Any)


def _without_state(row: object) -> object:
    if isinstance(row, AppEntry):
        return {"name": row.name, "heap_bytes": row.heap_bytes}
    return row


def _call_type(method: str) -> type[Call[Any]]:
    if method in NOT_DIRECT:
        raise UnknownName(f"{method} is not called directly", next_step=NOT_DIRECT[method])
    if method not in CALLS:
        raise UnknownName(f"no method {method!r}", next_step=f"methods: {', '.join(sorted(CALLS))}")
    return CALLS[method]


def _form(method: str) -> str:
    """Return the form of a call, as in "gpio.set pin=... level=...", with optional arguments in brackets."""
    words = [method]
    for field in msgspec.structs.fields(CALLS[method]):
        word = f"{field.name}=..."
        words.append(word if field.required else f"[{word}]")
    return f"the form is: {' '.join(words)}"


def _parse_argument(method: str, name: str, text: str, hint: Any) -> Any:
    try:
        if hint is int:
            return int(text, 0)
        if hint is str:
            return text
        return decode_json(text, hint)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        kind = {int: "a whole number", float: "a number"}.get(hint, "a JSON object")
        raise ConfigError(f"{name} of {method} is {kind}, not {text!r:.60}", next_step=_form(method)) from exc


def required_transport(method: str, name: str) -> str:
    """Return which kind of transport a method needs, and how to add one."""
    family = method.partition(".")[0]
    if method in ("apps.states", "pwm.read") or family == "edges":
        return "only a virtual board reports this: microclaw up --virtual 1"
    if family == "console":
        return f"it needs a cable to its console: microclaw device add {name} --console auto"
    if family in ("apps", "logs"):
        return f"it needs ESP-WASMachine: microclaw device add {name} --wasmachine HOST:8080"
    if method == DeviceRestart.method:
        return "only a board on microclaw's own link restarts when asked; press its reset button, or cut its power"
    if family == "wifi":
        return "only a board with microclaw's own firmware and a radio takes Wi-Fi networks: microclaw flash"
    if family in ("gpio", "adc", "pwm", "i2c", "device"):
        return f"it needs a serial transport: microclaw device add {name} --serial /dev/ttyACM0"
    return f"see its capabilities: microclaw device show {name}"
