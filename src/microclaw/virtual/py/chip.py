"""The rest of the chip: NVS, calendar, watchdog, resets and heap facts. It has no radio."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from microclaw.durable import replace_file
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Alarm
from microclaw.virtual.py.drivers import Calls, DriverError, Hooks, Json

CPU_HZ: Final = 240_000_000
PWRON_RESET: Final = 1
WDT_RESET: Final = 3
MAX_NVS_KEYS: Final = 512
MAX_NVS_CHARS: Final = 8_000
MAX_NVS_NAME: Final = 15
NVS_NOT_FOUND: Final = (-4354, "ESP_ERR_NVS_NOT_FOUND")
NVS_NO_SPACE: Final = (-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
NVS_NAME_TOO_LONG: Final = (-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
IDF_HEAP: Final = [[180_000, 96_000, 94_200, 93_000]]
"""One region, as on an ESP32 with its Wi-Fi up (measured: 95.6 KB free, largest block 94.2)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_OF_CHIP: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What MicroPython's esp32 port counts from: a clock that nobody set says this at the boot."""
_SET_MS: Final = (_EPOCH_OF_CHIP - _EPOCH).total_seconds() * 1000


class Nvs:
    """The settings of one board's flash, in one file; each change is on the disk before it is answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, int | str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def set(self, space: str, key: str, value: int | str) -> Json:
        if len(key) > MAX_NVS_NAME or len(space) > MAX_NVS_NAME:
            raise DriverError("OSError", *NVS_NAME_TOO_LONG)
        if isinstance(value, int) and not -(2**31) <= value < 2**31:
            raise DriverError("OSError", -4353, "ESP_ERR_NVS_TYPE_MISMATCH")
        full = len(self._values) >= MAX_NVS_KEYS and f"{space}/{key}" not in self._values
        if full or (isinstance(value, str) and len(value) > MAX_NVS_CHARS):
            raise DriverError("OSError", *NVS_NO_SPACE)
        self._values[f"{space}/{key}"] = value
        return self._keep()

    def get(self, space: str, key: str, kind: str) -> Json:
        value = self._values.get(f"{space}/{key}")
        if value is None or isinstance(value, int) != (kind == "i32"):
            raise DriverError("OSError", *NVS_NOT_FOUND)
        return value

    def erase(self, space: str, key: str) -> Json:
        if self._values.pop(f"{space}/{key}", None) is None:
            raise DriverError("OSError", *NVS_NOT_FOUND)
        return self._keep()

    def _keep(self) -> Json:
        replace_file(self._path, json.dumps(self._values).encode())
        return None


class Chip(Calls):
    """`folder` is the board's flash. `rtc` outlives a reset."""

    def __init__(self, board: Board, hooks: Hooks, folder: Path, rtc: dict[str, int]) -> None:
        self._board = board
        self._hooks = hooks
        self._rtc = rtc
        nvs = Nvs(folder / "nvs.json")
        self.call_nvs_set, self.call_nvs_get, self.call_nvs_erase = nvs.set, nvs.get, nvs.erase
        self._watchdog: Alarm | None = None

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()

    def call_reset(self, cause: int) -> Json:
        self._rtc["cause"] = cause
        self._hooks.reset(cause)
        return None

    def call_wdt(self, timeout_ms: int) -> Json:
        if self._watchdog is not None:
            self._watchdog.cancel()
        at_ms = self._board.clock.now_ms() + timeout_ms
        self._watchdog = self._board.clock.call_at(at_ms, self._bite)
        return None

    def _bite(self) -> None:
        self._rtc["cause"] = WDT_RESET
        self._hooks.bite()

    def call_rtc(self, *fields: int) -> Json:
        clock = self._board.clock
        if fields:
            year, month, day, _weekday, hour, minute, second, micro = (*fields, *[0] * 8)[:8]
            try:
                when = datetime(year, month, day, hour, minute, second, micro % 1_000_000, tzinfo=UTC)
            except ValueError:
                raise DriverError("ValueError", "no such date") from None
            self._board.set_calendar((when - _EPOCH).total_seconds() * 1000)
            return None
        since_ms = self._board.calendar_ms(clock.now_ms())
        start = _EPOCH if since_ms >= _SET_MS else _EPOCH_OF_CHIP
        now = start + timedelta(milliseconds=since_ms)
        return [now.year, now.month, now.day, now.weekday(), now.hour, now.minute, now.second, now.microsecond]

    def call_reset_cause(self) -> Json:
        return self._rtc.get("cause", PWRON_RESET)

    def call_cpu_hz(self) -> Json:
        return CPU_HZ

    def call_idf_heap(self) -> Json:
        return IDF_HEAP

    def call_unique_id(self) -> Json:
        """A MAC address of the locally administered range, by the board's name."""
        return "02" + self._board.name.encode().hex().rjust(10, "0")[-10:]
