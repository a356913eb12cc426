"""The methods that a host can call on the board. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from microclaw.errors import PinRefused
from microclaw.virtual.board import Board
from microclaw.virtual.part_bus import own_bus
from microclaw.virtual.ports.serial import DEFAULT_PWM_HZ
from microclaw.virtual.py.programs import CallRefused
from microclaw.wire.link.values import Value, ValueMap

FIRMWARE: Final = "microclaw-virtual"
MAX_EDGES: Final = 256

Method = Callable[[ValueMap], Value]


class BoardMethods:
    """Those of the board itself; `firmware` is what `device.info` says."""

    def __init__(self, board: Board, free_heap_bytes: Callable[[], int], firmware: str) -> None:
        self._board = board
        self._firmware = firmware
        self._free_heap_bytes = free_heap_bytes

    def methods(self) -> Mapping[str, Method]:
        return {
            "gpio.set": self._gpio_set,
            "gpio.get": self._gpio_get,
            "adc.read": self._adc_read,
            "i2c.scan": lambda _: {"addresses": list(own_bus(self._board).addresses())},
            "i2c.read": self._i2c_read,
            "pwm.set": self._pwm_set,
            "edges.read": self._edges_read,
            "device.info": lambda _: self._info(),
            "device.status": lambda _: {**self._board.status(), "free_heap": self._free_heap_bytes()},
            "device.restart": lambda _: {"restarting": True},
        }

    def _gpio_set(self, params: ValueMap) -> Value:
        pin = self._pin(params, drives=True)
        level = whole(params, "level", 0, 1)
        self._board.set_output(pin, level)
        return {"pin": pin, "level": self._board.level(pin)}

    def _gpio_get(self, params: ValueMap) -> Value:
        pin = self._pin(params)
        return {"pin": pin, "level": self._board.level(pin)}

    def _adc_read(self, params: ValueMap) -> Value:
        pin = self._pin(params)
        reading = self._board.adc.read(pin)
        return {"pin": pin, "raw": reading.value, "volts": round(reading.volts, 3)}

    def _pwm_set(self, params: ValueMap) -> Value:
        pin = self._pin(params, drives=True)
        duty = whole(params, "duty", 0, 255)
        highest_hz = self._board.profile.pwm.highest_hz()
        frequency_hz = whole(params, "frequency_hz", 1, highest_hz, DEFAULT_PWM_HZ)
        self._board.start_pwm(pin, duty, frequency_hz)
        return {"pin": pin, "duty": duty, "frequency_hz": frequency_hz}

    def _i2c_read(self, params: ValueMap) -> Value:
        sensor = text(params, "sensor")
        return {"sensor": sensor, "values": {**self._board.parts.readings(sensor)}}

    def _edges_read(self, params: ValueMap) -> Value:
        """Return the edges of this boot: a board's RAM does not outlive a power cut. Earlier ones count as dropped."""
        board = self._board
        cursor = whole(params, "cursor", 0, 2**52, 0)
        page = board.edges(cursor, MAX_EDGES)
        lost = 0
        if cursor < board.boot_edge:
            page = board.edges(board.boot_edge, MAX_EDGES)
            lost = board.boot_edge - cursor
        rows: list[Value] = [[round(r.t_ms, 3), r.pin, r.level] for r in page.records]
        with_pwm = {record.pin for record in board.pwm_changes().records}
        evidence: ValueMap = {str(r.pin): "pwm" if r.pin in with_pwm else "counted" for r in page.records}
        return {
            "edges": rows,
            "cursor": page.next,
            "dropped": lost + page.dropped,
            "now_ms": round(board.clock.now_ms(), 3),
            "more": len(rows) == MAX_EDGES,
            "evidence": evidence,
        }

    def _info(self) -> ValueMap:
        board = self._board
        return {
            **board.facts(),
            "firmware": self._firmware,
            "board": board.profile.board_id,
            "kinds": ["wasm", "py"],
            "free_heap": self._free_heap_bytes(),
            "boot": board.boot,
        }

    def _pin(self, params: ValueMap, *, drives: bool = False) -> int:
        pin = whole(params, "pin", 0, 63)
        self._board.level(pin)  # refuses one that the board lacks
        reserved = self._board.profile.pins[pin].reserved
        if drives and reserved:
            raise PinRefused(f"GPIO {pin} is reserved: {reserved}")
        return pin


def whole(params: ValueMap, name: str, low: int, high: int, default: int | None = None) -> int:
    """Return a whole number in a range. Raises CallRefused for anything else."""
    value = params.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise CallRefused("bad_params", f"{name} must be a whole number from {low} to {high}")
    return value


def text(params: ValueMap, name: str, most: int = 255) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not 0 < len(value.encode()) <= most:
        raise CallRefused("bad_params", f"{name} must be text of 1 to {most} bytes")
    return value
