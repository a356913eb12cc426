"""The JSON line protocol's device side: dialect A's answers with the fields of C added. No IO: lines in, lines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from microclaw import __version__
from microclaw.errors import MicroclawError, PinRefused, ProtocolError, UnknownName
from microclaw.hardware.parts.reader import parts
from microclaw.virtual.board import Board
from microclaw.virtual.part_bus import own_bus
from microclaw.virtual.ports.sockets import whole_lines
from microclaw.wire.jsonline import LineDecoder, encode_line, parse_object

MAX_LINE_BYTES: Final = 1_024
INCOMPLETE_LINE_S: Final = 1.0  # dialect A parses what it has after this much silence (Serial.readStringUntil)
DEFAULT_PWM_HZ: Final = 5_000
FIRMWARE: Final = f"microclaw-virtual {__version__}"

Reply = Mapping[str, object]


class SerialConsole:
    """The firmware's answers on its serial port; one for the board, shared by everyone connected."""

    def __init__(self, board: Board, free_heap_bytes: Callable[[], int]) -> None:
        self._board = board
        self._free_heap_bytes = free_heap_bytes
        self._actions: Mapping[str, Callable[[Reply], Reply]] = {
            "get_info": self._get_info,
            "get_status": self._get_status,
            "set_gpio": self._set_gpio,
            "read_gpio": self._read_gpio,
            "read_adc": self._read_adc,
            "set_pwm": self._set_pwm,
            "read_i2c": self._read_i2c,
            "read_sensors": self._read_sensors,
            "custom_i2c_scan": lambda _: {"status": "ok", "addresses": own_bus(board).addresses()},
        }

    def boot_lines(self) -> bytes:
        """Return the lines that the firmware prints when it starts: JSON objects that look like answers."""
        board = self._board
        lines: list[Reply] = [
            {"status": "ok", "msg": "booting", "device": board.name, "boot": board.boot},
        ]
        for _, wired in board.parts.bus_sensors():
            lines.append({"status": "ok", "msg": f"{wired.part} found", "address": wired.address})
        lines.append({"status": "ok", "msg": "ready", "device": board.name, "firmware": FIRMWARE})
        return b"".join(encode_line(line) for line in lines)

    def answer(self, line: bytes | None) -> bytes:
        """Return the reply to a line, whatever it is; None stands for a line that was too long."""
        if line is None:
            return encode_line(_error(f"JSON parse error: line longer than {MAX_LINE_BYTES} bytes"))
        try:
            return encode_line(self._perform(parse_object(line)))
        except ProtocolError:
            return encode_line(_error("JSON parse error: InvalidInput"))

    def _perform(self, request: Reply) -> Reply:
        action = request.get("action")
        if not isinstance(action, str) or not action:
            return _error("Missing action")
        perform = self._actions.get(action)
        if perform is None:
            return _error(f"Unknown action: {action[:64]}")
        try:
            return perform(request)
        except MicroclawError as exc:
            return _error(exc.message)

    def _get_info(self, _: Reply) -> Reply:
        facts = self._board.facts()
        free_bytes = self._free_heap_bytes()
        heap = {"free_heap_kb": free_bytes // 1024, "free_heap": free_bytes}
        return {"status": "ok", "firmware": FIRMWARE, **facts, "uptime_s": facts["uptime_ms"] // 1000, **heap}

    def _get_status(self, _: Reply) -> Reply:
        return {"status": "ok", "connected": True, **self._board.status(), "free_heap": self._free_heap_bytes()}

    def _set_gpio(self, request: Reply) -> Reply:
        pin = self._pin(request)
        state = _whole(request, "state")
        if state not in (0, 1):
            return _error("State must be 0 or 1")
        self._board.set_output(pin, state)
        return {"status": "ok", "msg": "GPIO set", "pin": pin, "state": state}

    def _read_gpio(self, request: Reply) -> Reply:
        pin = self._pin(request)
        return {"status": "ok", "pin": pin, "state": self._board.level(pin)}

    def _pin(self, request: Reply) -> int:
        pin = _whole(request, "pin")
        if pin is None or not self._board.has_pin(pin):
            raise PinRefused("Invalid pin number")
        return pin

    def _read_adc(self, request: Reply) -> Reply:
        pin = _whole(request, "pin")
        try:
            reading = self._board.adc.read(-1 if pin is None else pin)
        except PinRefused:
            return _error("Invalid ADC pin")
        return {"status": "ok", "pin": pin, "value": reading.value, "voltage": round(reading.volts, 3)}

    def _set_pwm(self, request: Reply) -> Reply:
        if "pin" not in request:
            return _error("Pin number required")
        pin = self._pin(request)
        duty = _whole(request, "duty_cycle" if "duty_cycle" in request else "duty")
        if duty is None or not 0 <= duty <= 255:
            return _error("Duty cycle must be 0-255")
        name = "frequency" if "frequency" in request else "freq"
        if name in request:
            frequency_hz = _whole(request, name)
        else:
            frequency_hz = DEFAULT_PWM_HZ
        if frequency_hz is None or not 1 <= frequency_hz <= self._board.profile.pwm.highest_hz():
            return _error("Invalid frequency")
        self._board.start_pwm(pin, duty, frequency_hz)
        return {"status": "ok", "msg": "PWM set", "pin": pin, "duty_cycle": duty, "frequency": frequency_hz}

    def _read_i2c(self, request: Reply) -> Reply:
        sensor = request.get("sensor")
        if not isinstance(sensor, str):
            return _error(f"Unknown sensor: {sensor}"[:80])
        # Of several sensors of one kind each is named with its address.
        part = parts().get(sensor.partition("@")[0])
        if part is None or part.i2c is None:
            return _error(f"Unknown sensor: {sensor}"[:80])
        try:
            values = self._board.parts.readings(sensor)
        except UnknownName:
            return _error(f"Sensor not found: {sensor}")
        return {"status": "ok", "sensor": sensor, "data": values, **values}

    def _read_sensors(self, _: Reply) -> Reply:
        sensors: dict[str, object] = {}
        for part_id, wired in self._board.parts.bus_sensors():
            sensors[wired.part] = self._board.parts.readings(part_id)
        sensors["system"] = {
            "uptime_s": int(self._board.clock.now_ms()) // 1000,
            "free_heap_kb": self._free_heap_bytes() // 1024,
            "cpu_temp_c": 41.0,
        }
        return {"status": "ok", "sensors": sensors}


class SerialLines:
    """One connection's input: whole lines, and what is left of one that never ended."""

    def __init__(self, console: SerialConsole) -> None:
        self._console = console
        self._decoder = LineDecoder(MAX_LINE_BYTES)

    def receive(self, data: bytes) -> bytes:
        """Return the replies to every line that is whole now, in order."""
        lines = (line if line is None else line.strip() for line in whole_lines(self._decoder, data))
        return b"".join(self._console.answer(line) for line in lines if line != b"")

    def silence(self) -> bytes:
        """Answer an unfinished line: INCOMPLETE_LINE_S went by without a byte."""
        partial = self._decoder.take_partial().strip()
        if partial:
            return self._console.answer(partial)
        return b""

    @property
    def waiting(self) -> bool:
        return bool(self._decoder.buffer)


def _error(text: str) -> Reply:
    return {"status": "error", "msg": text}


def _whole(request: Reply, name: str) -> int | None:
    """Return a whole number, 0 if it is missing, as dialect A reads it, and None for anything else."""
    value = request.get(name, 0)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
