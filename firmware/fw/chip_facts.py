"""Facts of the chip that are asked at the start, and seldom after: functions of Board, read in when needed."""

import sys
import time

RESET_REASONS = {"PWRON_RESET": "power_on", "WDT_RESET": "watchdog", "DEEPSLEEP_RESET": "deep_sleep"}
# `why` in NVS: 1 and 2.
OVERDUE = ("link_no_memory", "link_stuck")
MOST_DOUBLED = 4
# A session takes 24.5 KB, its handshake 6 KB more (stock 1.26.1 on an emulated ESP32).
TLS_BYTES = 32_000
# Its buffer for a record of 16 KB.
TLS_BLOCK = 17_408
HEALTHY_S = 60
SHORT_S = 20
# A start that was not ended by a power cut counts as much as this number of cuts.
CRASHED = 4
SAFE_START = 12


def count_start(board):
    """Count this start; return why no program may be started now, or None.

    Programs are held back after three starts in a row that were not healthy.
    A start is not healthy if a reset of any cause ends it within 60 s. A power cut counts a quarter, and only
    within 20 s: a person who pulls the plug loses nothing, and brown-outs, which look the same, come to an end.
    Starts of an update on trial are not the programs': main.py counts those, and goes back.
    NVS has `starts`, and in `ran_s` how long the last start ran. Call it once in each start.
    """
    machine = board.machine
    if hasattr(machine, "reset_cause"):
        cause = machine.reset_cause()
    else:
        cause = None
    count = number(board, "starts")
    ran_s = number(board, "ran_s")
    # A person at the cable makes soft resets.
    by_person = cause == getattr(machine, "SOFT_RESET", -1)
    if ran_s >= HEALTHY_S or number(board, "trial") or by_person:
        starts = 0
    elif cause != getattr(machine, "PWRON_RESET", -1):
        starts = count + CRASHED
    elif count >= SAFE_START:
        # No program ended that start: a person wants another try.
        starts = 1
    else:
        starts = count + (ran_s < SHORT_S)
    if starts != count:
        number(board, "starts", starts)
    if ran_s:
        number(board, "ran_s", 0)
    if starts >= SAFE_START:
        return "the last starts ended within a minute, this one by %s" % reset_reason(board)
    return None


def come_back(board, well_ms, after_ms):
    """Restart, as the board itself has kept the link down since `well_ms`.

    The wait doubles after each such start in a row. The next start reports the cause (`reset_reason`) and their number.
    """
    if time.ticks_diff(time.ticks_ms(), well_ms) < after_ms << min(number(board, "again"), MOST_DOUBLED):
        return
    number(board, "why", 2 if link_short(board) is None else 1)
    number(board, "again", number(board, "again") + 1)
    restart(board)


def link_short(board):
    """Return the memory that a TLS session lacks as a text; None if there is enough, or if there is no IDF heap."""
    free = board.idf_free()
    if free is None or (free >= TLS_BYTES and idf_largest(board) >= TLS_BLOCK):
        return None
    return "%d bytes are free for TLS, %d are needed" % (free, TLS_BYTES)


def restart(board):
    """Restart on request, which counts as healthy: programs are started again afterwards."""
    number(board, "ran_s", HEALTHY_S)
    board.reset()


def safe_mode(board):
    """Return True while the BOOT button is held: then no program is started."""
    if board.boot_pin is None or board.boot_pin in board.owners:
        return False
    pin = board.machine.Pin
    return pin(board.boot_pin, pin.IN, pin.PULL_UP).value() == 0


def reset_reason(board):
    why = number(board, "why")
    if why:
        return OVERDUE[why - 1]
    if hasattr(board.machine, "reset_cause"):
        cause = board.machine.reset_cause()
    else:
        cause = None
    for name, reason in RESET_REASONS.items():
        if getattr(board.machine, name, -1) == cause:
            return reason
    return "restart"


def set_time(board, unix_ms):
    """Set the chip's clock, UTC: programs' time() and TLS go by it. Whole numbers: a chip's floats err by a minute."""
    seconds = unix_ms // 1000 - (946684800 if time.gmtime(0)[0] == 2000 else 0)
    if hasattr(board.machine, "RTC"):
        at = tuple(time.gmtime(seconds)[:7])
        board.machine.RTC().datetime(at[:3] + at[6:] + at[3:6] + (unix_ms % 1000 * 1000,))


def facts(board):
    """Return the chip's facts, for device.info."""
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
    """Return the largest free block of what idf_free() counts: what Wi-Fi and TLS can get at once."""
    return max([region[2] for region in board.esp32.idf_heap_info(board.esp32.HEAP_DATA)])


def wlan(board):
    """Return the radio as a station, or None on a board without Wi-Fi."""
    return board.network and board.network.WLAN(board.network.STA_IF)


def access_point_name(board):
    """Return microclaw-XXXX, by the last two bytes of the radio's address; None on a board without a radio."""
    if board.network is None:
        return None
    return "microclaw-%02x%02x" % tuple(wlan(board).config("mac")[-2:])


def open_access_point(board, key):
    """Open our own access point, which asks for `key` by WPA2.

    Raises OSError if the radio opens none, or only an open one.
    """
    network = board.network
    point = network.WLAN(network.AP_IF)
    point.active(True)
    try:
        point.config(ssid=access_point_name(board), security=network.AUTH_WPA2_PSK, key=key, max_clients=2)
        if point.config("security") != network.AUTH_WPA2_PSK:
            raise OSError("the access point would be open to all")
    except Exception:
        point.active(False)
        raise
    return point


def keeps_numbers(board):
    return board.nvs is not None


def number(board, name, value=None):
    """Return a number of NVS, 0 if it is not set; write `value` first if it is given."""
    if not keeps_numbers(board):
        return 0
    if value is not None:
        board.nvs.set_i32(name, value)
        board.nvs.commit()
    try:
        return board.nvs.get_i32(name)
    except OSError:
        return 0


def update_name(board):
    """Return the chip's name for updates, with -small on a board without PSRAM; "" for a chip without updates."""
    words = board.chip.lower().replace("-", "").split()
    if words and words[-1].startswith("esp32"):
        chip = words[-1]
    else:
        chip = ""
    if chip and board.is_small:
        return chip + "-small"
    return chip
