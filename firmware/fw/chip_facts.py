"""What is asked of the chip at the start, and seldom after: functions of Board, read in when needed."""

import sys
import time

from board import esp32, network

RESET_REASONS = {"PWRON_RESET": "power_on", "WDT_RESET": "watchdog", "DEEPSLEEP_RESET": "deep_sleep"}
NVS = "microclaw"  # the name space of our own numbers; firmware/main.py reads them too


def reset_by_watchdog(board):
    """Whether the watchdog ended the last run."""
    cause = getattr(board.machine, "reset_cause", None)
    return cause is not None and cause() == getattr(board.machine, "WDT_RESET", -1)


def safe_mode(board):
    """Whether the BOOT button is held: then no program is started."""
    if board.boot_pin is None or board.boot_pin in board.owners:
        return False
    pin = board.machine.Pin(board.boot_pin, board.machine.Pin.IN, board.machine.Pin.PULL_UP)
    return pin.value() == 0


def reset_reason(board):
    cause = board.machine.reset_cause() if hasattr(board.machine, "reset_cause") else None
    for name, reason in RESET_REASONS.items():
        if getattr(board.machine, name, -1) == cause:
            return reason
    return "restart"


def set_time(board, unix_ms):
    """Set the chip's clock, UTC: programs' time() and TLS go by it. Whole numbers: a chip's floats err by a minute."""
    seconds = unix_ms // 1000 - (946684800 if time.gmtime(0)[0] == 2000 else 0)
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    if hasattr(board.machine, "RTC"):
        us = unix_ms % 1000 * 1000
        board.machine.RTC().datetime((year, month, day, weekday, hour, minute, second, us))


def facts(board):
    """What the chip says of itself, for device.info."""
    version = ".".join(str(part) for part in sys.implementation.version[:3])
    facts = {"chip": board.chip, "micropython": version, "platform": sys.platform}
    if hasattr(board.machine, "freq"):
        facts["cpu_freq_mhz"] = board.machine.freq() // 1000000
    try:
        import esp

        facts["flash_size_mb"] = esp.flash_size() >> 20
    except ImportError:
        pass  # the unix port
    return facts


def idf_largest(board):
    """The largest free block of what idf_free() counts: what Wi-Fi and TLS can get at once."""
    return max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])


def wlan(board):
    """The radio as a station, or None on a board without one."""
    return None if network is None else network.WLAN(network.STA_IF)


def access_point_name(board):
    """microclaw-XXXX, by the last two bytes of the radio's address; None on a board without a radio."""
    return None if network is None else "microclaw-%02x%02x" % tuple(wlan(board).config("mac")[-2:])


def open_access_point(board, key):
    """Our own access point, which asks for `key` by WPA2. OSError where the radio opens none, or only one for all."""
    made = network.WLAN(network.AP_IF)
    made.active(True)
    try:
        made.config(ssid=access_point_name(board), security=network.AUTH_WPA2_PSK, key=key, max_clients=2)
        if made.config("security") != network.AUTH_WPA2_PSK:
            raise OSError("the access point would be open to all")
    except Exception:
        made.active(False)
        raise
    return made


def number(board, name, value=None):
    """A number of NVS, 0 where there is none; `value` is kept first."""
    if esp32 is None or not hasattr(esp32, "NVS"):
        return 0
    nvs = esp32.NVS(NVS)
    if value is not None:
        nvs.set_i32(name, value)
        nvs.commit()
    try:
        return nvs.get_i32(name)
    except OSError:
        return 0
