"""The JSON line protocol of exploration mode: lines, requests, and replies of every dialect in the field. No IO.

The host sends what the tutorial's firmware (dialect A) understands and always sends every field: that firmware treats a
missing pin as GPIO 0. It accepts what dialects B, C and V answer. There are no request ids: a caller that gave up on a
reply drains the line before it asks again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Final, NoReturn, TypeAlias, TypeVar, cast

from msgspec import Struct, ValidationError

from microclaw.conversion import convert
from microclaw.errors import CallRejected, NotSupported, ProtocolError

MAX_LINE_BYTES: Final = 65_536
MAX_MESSAGE_CHARS: Final = 300  # of an error
_MAX_NUMBER: Final = 1e300  # beyond it a JSON integer no longer fits a float

_NAMES: Final = {
    "pin": "pin", "state": "level", "value": "raw", "voltage": "volts", "duty": "duty", "duty_cycle": "duty",
    "frequency": "frequency_hz", "freq": "frequency_hz",
}  # fmt: skip
"""Of a dialect's names the calls' own; of two for one value the last here counts."""

T = TypeVar("T", bound=Struct)
Scalar: TypeAlias = str | int | float | bool


def encode_line(message: Mapping[str, object]) -> bytes:
    """One object as one line, to be written in one call: dialect A parses an incomplete line after a second."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


class LineDecoder:
    """Cuts a byte stream into lines without their line ends; empty lines are not lines.

    A line over the limit raises once and is thrown away up to its newline; the lines after it are good again.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.max_line_bytes = max_line_bytes
        self.buffer = bytearray()
        self._searched = 0
        self._discarding = False

    def receive(self, data: bytes) -> None:
        self.buffer += data

    def next_line(self) -> bytes | None:
        """Return the next whole line, or None until more bytes come. Raises ProtocolError for one over the limit."""
        while (end := self.buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(memoryview(self.buffer)[:end])
            del self.buffer[: end + 1]
            self._searched = 0
            if self._discarding:
                self._discarding = False
            elif len(line) > self.max_line_bytes:
                self._refuse()
            elif line := line.removesuffix(b"\r"):
                return line
        if self._discarding:
            self.buffer.clear()
        elif len(self.buffer) > self.max_line_bytes:
            self.take_partial()
            self._discarding = True
            self._refuse()
        self._searched = len(self.buffer)
        return None

    def take_partial(self) -> bytes:
        """Return an unfinished line, for a reader that does not wait for its end; empties the decoder."""
        if self._discarding:
            partial = b""
        else:
            partial = bytes(self.buffer)
        self.buffer.clear()
        self._searched = 0
        self._discarding = False
        return partial

    def _refuse(self) -> NoReturn:
        raise ProtocolError(f"a line is longer than the limit of {self.max_line_bytes} bytes")


def parse_object(line: bytes) -> dict[str, object]:
    """Parse a line that is one JSON object. Raises ProtocolError for anything else, also NaN, Infinity and 1e999."""
    try:
        value = json.loads(line, parse_constant=_refuse_constant, parse_float=_parse_finite)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not a JSON object ({exc}): {line[:60]!r}"[:200]) from exc
    if not isinstance(value, dict):
        raise ProtocolError(f"not a JSON object: {line[:60]!r}")
    return value


GET_INFO: Final = encode_line({"action": "get_info"})


def pwm_fields(pin: int, duty: int, frequency_hz: int) -> dict[str, int | str]:
    """Of set_pwm: `duty` and `freq` are dialect C's names for the same two values."""
    return {"pin": pin, "duty_cycle": duty, "frequency": frequency_hz, "duty": duty, "freq": frequency_hz}


def raise_for_error(reply: Mapping[str, object]) -> None:
    """NotSupported for an action the firmware lacks, CallRejected for its other errors, ProtocolError for no status."""
    status = reply.get("status")
    if status == "ok":
        return
    if status != "error":
        raise ProtocolError(f"a reply with the status {status!r}, expected 'ok' or 'error'")
    text = reply.get("msg", reply.get("message", reply.get("error")))
    message = text if isinstance(text, str) and text else "no reason given"
    foreign = message not in _NEXT_STEPS
    shown = message[:MAX_MESSAGE_CHARS]
    if message.startswith("Unknown action"):
        step = "use a board or firmware that offers it"
        raise NotSupported(f"the firmware answered: {shown}", next_step=step, foreign=foreign)
    known = next((step for prefix, step in _NEXT_STEPS.items() if message.startswith(prefix)), None)
    raise CallRejected(f"the firmware answered: {shown}", next_step=known, foreign=foreign)


def values_reply(reply: Mapping[str, object], asked: Mapping[str, object], form: type[T]) -> T:
    """Read the answer to a call with these arguments, under the calls' own names.

    A value that the reply leaves out is the argument's.
    """
    raise_for_error(reply)
    values = dict(asked)
    for name, own in _NAMES.items():
        if name in reply and own in form.__struct_fields__:
            told = reply[name]
            if isinstance(told, float):
                is_whole = told.is_integer()
            else:
                is_whole = own == "level" and isinstance(told, bool)
            values[own] = int(cast("float", told)) if is_whole else told
    if any(isinstance(value, int) and abs(value) > 2**53 for value in values.values()):
        raise ProtocolError("a reply with a number that is too large")
    try:
        return convert(values, form)
    except ValidationError as exc:
        raise ProtocolError(f"a reply that cannot be read: {exc}") from exc


def sensor_reply(reply: Mapping[str, object]) -> Mapping[str, float]:
    """Read the numbers of one sensor, nested under `data` (A, B, V) or flat (C)."""
    raise_for_error(reply)
    data = reply.get("data", reply)
    if isinstance(data, Mapping):
        values = _numbers(data)
    else:
        values = {}
    if not values:
        raise ProtocolError("a reply about a sensor without a number in it")
    return values


def sensors_reply(reply: Mapping[str, object]) -> dict[str, Mapping[str, float]]:
    """Every sensor the device knows; the board's own figures come as the sensor `system`."""
    raise_for_error(reply)
    sensors = reply.get("sensors")
    if not isinstance(sensors, Mapping):
        raise ProtocolError("a reply to read_sensors without 'sensors'")
    return {str(k): _numbers(v) for k, v in sensors.items() if isinstance(v, Mapping)}


def info_reply(reply: Mapping[str, object]) -> Mapping[str, Scalar]:
    """Read a device's facts, flat and without `status`.

    Of dialect C's, free_heap in bytes becomes free_heap_kb, gpio_states gpio_<pin>, sensors_active a list with commas.
    """
    raise_for_error(reply)
    facts: dict[str, Scalar] = {
        k: v for k, v in reply.items() if isinstance(v, (str, int, float)) and k not in ("status", "msg")
    }
    heap = facts.get("free_heap")
    if isinstance(heap, int) and heap < _MAX_NUMBER and "free_heap_kb" not in facts:
        del facts["free_heap"]
        facts["free_heap_kb"] = round(heap / 1024, 1)
    active = reply.get("sensors_active")
    states = reply.get("gpio_states")
    if isinstance(active, list):
        facts["sensors_active"] = ", ".join(map(str, active))
    if isinstance(states, Mapping):
        facts |= {f"gpio_{pin}": level for pin, level in states.items() if isinstance(level, int)}
    return facts


_NEXT_STEPS: Final = {
    "JSON parse error": "send it again: another program may be using the port at the same time",
    "Missing action": "send it again: another program may be using the port at the same time",
    "Invalid pin number": "use a pin that this board has",
    "Invalid ADC pin": "use a pin with an analog input",
    "Pin number required": "name the pin",
    "State must be 0 or 1": "use 0 or 1",
    "Duty cycle must be 0-255": "use a duty from 0 to 255",
    "Unknown sensor": "use a sensor that this firmware has a driver for",
    "Sensor not found": "check the sensor's wiring and its address",
    "I2C communication failed": "check the sensor's wiring and power",
}


def _parse_finite(digits: str) -> float:
    """Parse a number. Raises ValueError for one that is too large for a float, which no line can be written with."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:30]} is too large")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _numbers(data: Mapping[str, object]) -> Mapping[str, float]:
    return {
        str(k): float(v)
        for k, v in data.items()
        if isinstance(v, (int, float)) and not isinstance(v, bool) and -_MAX_NUMBER < v < _MAX_NUMBER
    }
