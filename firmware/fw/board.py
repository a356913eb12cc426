"""The chip behind one class: pins, analogue, buses, reset, watchdog, memory. The only file that imports `machine`.

`facts` is "board" of /settings.json, written by `microclaw flash` from the board's profile:
  chip; reserved {pin: why}; i2c [sda, scl]; boot_pin; memory_floor (bytes); max_programs;
  heap (bytes of all claims, at first); reserve (bytes that calls need); timeline (entries)
"""

import gc
import sys
import time

import machine
from binding import bound
from micropython import const
from timeline import Timeline

try:
    import esp32
except ImportError:  # the unix port
    esp32 = None
try:
    import network
except ImportError:
    network = None

# The flash's pins, which stock images accept; used if /settings.json names no pins (hardware/boards/chips/*.toml).
FLASH_PINS = (("S3", 26, 32), ("C3", 11, 17), ("C6", 24, 30), ("", 6, 11))
_WATCHDOG_MS = const(15_000)
# How the names in host_pins.py begin.
_HOST_PINS = "gpio_ adc_r pwm_s i2c_b i2c_s i2c_r"
_PROGRAM_BYTES = const(32_768)  # without PSRAM
# A heap that is full doubles, and takes what Wi-Fi and TLS need (heap.py).
_OWN_FLOOR = const(2_048)
# The heap's size cannot be asked: what is computed for it differs by 3 KB while a segment of TCP waits.
_GROWN_BYTES = const(8_192)


class Board:
    def __init__(self, facts=None):
        facts = facts or {}
        self.machine = machine
        self.esp32 = esp32
        self.network = network
        # Where the host is, once startup.py has read it: programs must not reach its ports.
        self.settings = None
        self.chip = facts.get("chip") or getattr(sys.implementation, "_machine", "")
        self.memory_floor = facts.get("memory_floor", 16_000)
        # Wi-Fi takes 1.6 KB a frame, in bursts.
        self.idf_floor = facts.get("idf_floor", 14_000)
        # The memory that calls need (calls.py), and what arrives meanwhile.
        self.reserve = facts.get("reserve", 9_216)
        self.max_programs = facts.get("max_programs", 8)
        self.heap = facts.get("heap") or max(_PROGRAM_BYTES, gc.mem_free() // 4 & -1024)
        self.i2c_pins = facts.get("i2c")
        self.boot_pin = facts.get("boot_pin", 0)
        self.reserved = {int(pin): why for pin, why in facts.get("reserved", {}).items()}
        if not self.reserved and sys.platform == "esp32":
            for name, first, last in FLASH_PINS:
                if name in self.chip.upper():
                    self.reserved = {pin: "the flash" for pin in range(first, last + 1)}
                    break
        # Opened once: MicroPython never closes a handle, which is 100 bytes of what TLS needs. main.py has one, too.
        if hasattr(esp32, "NVS"):
            self.nvs = esp32.NVS("microclaw")
        else:
            self.nvs = None
        # Maps a pin to the program that owns it.
        self.owners = {}
        # There is no PSRAM.
        self.is_small = gc.mem_free() + gc.mem_alloc() < 1 << 20
        self.take_size()
        self._last_ticks = self.ticks_ms()
        self._uptime_ms = 0
        self._wdt = None
        self.timeline = Timeline(self.now_ms, facts.get("timeline", 192))

    def ticks_ms(self):
        return time.ticks_ms()

    def now_ms(self):
        """Return the milliseconds since the start; call it at least once in six days, as the runner does."""
        now = self.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._last_ticks)
        self._last_ticks = now
        return self._uptime_ms

    def reset(self):
        machine.reset()

    def watchdog(self):
        """Feed it; the first call starts it. Only chips have one."""
        if self._wdt is None:
            if sys.platform != "esp32":
                return
            self._wdt = machine.WDT(timeout=_WATCHDOG_MS)
        self._wdt.feed()

    def gc_free(self):
        return gc.mem_free()

    def mem_alloc(self):
        """Return the bytes of MicroPython's heap in use, without rubbish."""
        gc.collect()
        return gc.mem_alloc()

    def measure(self, take):
        """Call `take` with the bytes in use; it returns whether rubbish is collected before the next stretch."""
        take(self.mem_alloc())

    def idf_free(self):
        """Return the free bytes outside of MicroPython's heap, which Wi-Fi and TLS need; None without such a heap."""
        if esp32 is None or not hasattr(esp32, "idf_heap_info"):
            return None
        return sum(region[1] for region in esp32.idf_heap_info(esp32.HEAP_DATA))

    def own_free(self):
        """Return the free bytes of MicroPython's heap before it would grow; all free bytes if growth does no harm."""
        free = gc.mem_free()
        if sys.platform == "esp32" and free < 1 << 20:
            free -= max([region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA)])
        return free

    def take_size(self):
        """Count growth from the heap's present size."""
        self._total = gc.mem_alloc() + self.own_free()

    def has_grown(self):
        """Return True if MicroPython's heap took memory that Wi-Fi and TLS need."""
        return self.is_small and gc.mem_alloc() + self.own_free() > self._total + _GROWN_BYTES

    def memory_short(self):
        """Return the memory shortage as a text, or None while there is enough."""
        free = self.gc_free()
        if free < self.memory_floor:
            return "%d bytes of memory are free, the board needs %d" % (free, self.memory_floor)
        free = self.own_free()
        if free < _OWN_FLOOR:
            return "%d bytes of MicroPython's memory are free, the board needs %d" % (free, _OWN_FLOOR)
        free = self.idf_free()
        if free is not None and free < self.idf_floor:
            return "%d bytes are free for Wi-Fi, the board needs %d" % (free, self.idf_floor)
        return None

    def claim(self, pin, owner):
        """Give the pin to `owner`.

        Raises ValueError for a pin that no program may have, OSError for a pin of another owner.
        """
        why = self.reserved.get(pin)
        if why is not None:
            raise ValueError("pin %d is reserved for %s" % (pin, why))
        other = self.owners.get(pin, owner)
        if other != owner:
            raise OSError("pin %d belongs to the program %s" % (pin, other))
        self.owners[pin] = owner

    def pins_of(self, owner):
        return sorted([pin for pin, name in self.owners.items() if name == owner])

    def release(self, owner):
        """Make every pin of that program an input; the next program that opens it begins low, as after a reset."""
        for pin in self.pins_of(owner):
            self.timeline.forget(pin)
            del self.owners[pin]
            try:
                # The level of a later output; no output is driven now.
                machine.Pin(pin, machine.Pin.IN).value(0)
            except (ValueError, OSError):
                # Such a pin cannot be an input; its claim ends nevertheless.
                pass

    def __getattr__(self, name):
        """Load a method that is needed seldom from chip_facts.py or host_pins.py."""
        is_pin = name[:5] in _HOST_PINS
        return bound(getattr(__import__("host_pins" if is_pin else "chip_facts"), name), self)
