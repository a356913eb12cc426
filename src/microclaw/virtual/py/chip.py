"""The rest of the chip: NVS, calendar, watchdog, resets, heap facts and the Wi-Fi radio. Carries no packets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from microclaw.durable import replace_file
from microclaw.virtual.alarms import Alarm
from microclaw.virtual.board import Board
from microclaw.virtual.py.drivers import Driver, DriverError, Host, Json

CPU_HZ: Final = 240_000_000
PWRON_RESET: Final = 1
WDT_RESET: Final = 3
MAX_NVS_KEYS: Final = 512
MAX_NVS_CHARS: Final = 8_000
MAX_NVS_NAME: Final = 15
MAX_RTC_BYTES: Final = 2048
NVS_NOT_FOUND: Final = (-4354, "ESP_ERR_NVS_NOT_FOUND")
NVS_NO_SPACE: Final = (-4357, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
NVS_NAME_TOO_LONG: Final = (-4361, "ESP_ERR_NVS_KEY_TOO_LONG")
IDF_HEAP: Final = [[180_000, 96_000, 94_200, 93_000]]
"""One region, as on an ESP32 with its Wi-Fi up (measured: 95.6 KB free, largest block 94.2)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_OF_CHIP: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What MicroPython's esp32 port counts from: a clock that nobody set says this at the boot."""
_SET_MS: Final = (_EPOCH_OF_CHIP - _EPOCH).total_seconds() * 1000
_GOT_IP: Final = 1010
_IDLE: Final = 1000
_NO_AP: Final = 201
_WRONG_PASSWORD: Final = 202


@dataclass(slots=True)
class Radio:
    """Wi-Fi as a test sees it: `networks` around the board by name with their keys ("" is open); `in_reach` or not."""

    networks: dict[str, str] = field(default_factory=lambda: {"microclaw-virtual": ""})
    in_reach: bool = True
    address: str = "127.0.0.1"
    active: set[int] = field(default_factory=set)
    joined: str | None = None
    wanted: tuple[str, str] | None = None
    config: dict[str, Json] = field(default_factory=dict)

    @property
    def is_connected(self) -> bool:
        """A radio that was told a network comes back to it by itself when it is in reach again."""
        if self.wanted is not None and self.in_reach and 0 in self.active:
            ssid, key = self.wanted
            self.joined = ssid if self.networks.get(ssid) == key else None
        else:
            self.joined = None
        return self.joined is not None

    @property
    def status(self) -> int:
        if self.is_connected:
            return _GOT_IP
        if self.wanted is None:
            return _IDLE
        return _WRONG_PASSWORD if self.in_reach and self.wanted[0] in self.networks else _NO_AP


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


class Chip:
    """`folder` is the board's flash. What RAM and the radio hold is lost with this object; `rtc` outlives a reset."""

    def __init__(self, board: Board, host: Host, folder: Path, radio: Radio, rtc: dict[str, str | int]) -> None:
        self._board = board
        self._host = host
        self._radio = radio
        self._rtc = rtc
        self._nvs = Nvs(folder / "nvs.json")
        self._watchdog: Alarm | None = None

    def drivers(self) -> Mapping[str, Driver]:
        radio = self._radio
        return {
            "nvs_set": self._nvs.set,
            "nvs_get": self._nvs.get,
            "nvs_erase": self._nvs.erase,
            "rtc": self._calendar,
            "rtc_memory": self._rtc_memory,
            "wdt": self._feed,
            "reset": self._reset,
            "reset_cause": lambda: self._rtc.get("cause", PWRON_RESET),
            "cpu_hz": lambda: CPU_HZ,
            "unique_id": self._unique_id,
            "idf_heap": lambda: IDF_HEAP,
            "wlan_active": self._wlan_active,
            "wlan_connect": self._wlan_connect,
            "wlan_disconnect": self._wlan_disconnect,
            "wlan_connected": lambda interface: interface == 0 and radio.is_connected,
            "wlan_status": lambda: radio.status,
            "wlan_rssi": lambda: -42 if radio.is_connected else -127,
            "wlan_scan": self._wlan_scan,
            "wlan_ifconfig": self._wlan_ifconfig,
            "wlan_config": self._wlan_config,
        }

    def close(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _reset(self, cause: int) -> Json:
        self._rtc["cause"] = cause
        self._host.reset(cause)
        return None

    def _feed(self, timeout_ms: int) -> Json:
        if self._watchdog is not None:
            self._watchdog.cancel()
        at_ms = self._board.clock.now_ms() + timeout_ms
        self._watchdog = self._board.clock.call_at(at_ms, self._bite)
        return None

    def _bite(self) -> None:
        self._rtc["cause"] = WDT_RESET
        self._host.bite()

    def _calendar(self, *fields: int) -> Json:
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

    def _rtc_memory(self, data: str | None = None) -> Json:
        if data is None:
            return self._rtc.get("memory", "")
        if len(data) > 2 * MAX_RTC_BYTES:
            raise DriverError("ValueError", "buffer too long")
        self._rtc["memory"] = data
        return None

    def _unique_id(self) -> Json:
        """A MAC address of the locally administered range, by the board's name."""
        return "02" + self._board.name.encode().hex().rjust(10, "0")[-10:]

    # Wi-Fi

    def _wlan_active(self, interface: int, on: bool | None) -> Json:
        if on is not None:
            (self._radio.active.add if on else self._radio.active.discard)(interface)
        return interface in self._radio.active

    def _wlan_connect(self, ssid: str | None, key: str | None) -> Json:
        if 0 not in self._radio.active:
            raise DriverError("OSError", "Wifi Not Started")
        if ssid is not None:
            self._radio.wanted = (ssid, key or "")
        return None

    def _wlan_disconnect(self) -> Json:
        self._radio.wanted = None
        return None

    def _wlan_scan(self) -> Json:
        radio = self._radio
        return [[ssid, -42, 3 if key else 0] for ssid, key in radio.networks.items()] if radio.in_reach else []

    def _wlan_ifconfig(self, interface: int) -> Json:
        if interface == 0 and not self._radio.is_connected:
            return ["0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0"]  # noqa: S104  an address that is told, not listened on
        own = self._radio.address if interface == 0 else "192.168.4.1"
        return [own, "255.255.255.0", own, own]

    def _wlan_config(self, interface: int, what: str, *value: Json) -> Json:
        name = f"{interface}/{what}"[:40]
        if value:
            self._radio.config[name] = value[0]
            return None
        if what in ("ssid", "essid") and interface == 0:
            return self._radio.joined or ""
        return self._radio.config.get(name)
