"""`machine` of MicroPython's esp32 port on the simulated board: the names and errors of v1.24 to v1.26. No registers.

Handlers of Pin.irq run where the interpreter meets the board next: between two of its calls, or while the event loop
waits. Not here: Timer, Signal and RTC, which are the firmware's own (firmware/fw/timers.py); WDT, SDCard, resets and
whatever else programs are refused (firmware/fw/peripherals.py). Of `ABSENT` a trial says that it has none.
"""

import _board
from _machine_bus import I2C, SPI, UART, SoftI2C, SoftSPI

_call = _board.call
ABSENT = "ADCBlock Counter DAC Encoder I2CTarget I2S TouchPad"
__getattr__ = _board.absent("machine", ABSENT)
PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = range(1, 6)
SLEEP = 2
DEEPSLEEP = 4
# ESP-IDF's esp_sleep_wakeup_cause_t; 0 is a start that no sleep came before.
PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE, TIMER_WAKE, TOUCHPAD_WAKE, ULP_WAKE = range(3, 7)


def reset_cause():
    return PWRON_RESET


def wake_reason():
    return 0


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = range(4)

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if isinstance(id, Pin):
            id = id._id
        if not isinstance(id, int):
            raise ValueError("invalid pin")
        _call("pin_open", id)
        self._id = id
        self._mode = -1
        self._pull = -1
        self._handler = None
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=None, hold=None):
        if mode is not None and mode != -1:
            self._mode = mode
        if pull != -1:
            self._pull = pull
        _call("pin_init", self._id, self._mode, self._pull, None if value is None else int(bool(value)))

    def value(self, x=None):
        if x is None:
            return _call("pin_read", self._id)
        _call("pin_write", self._id, 1 if x else 0)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self.value())

    def irq(self, handler=None, trigger=3, wake=None):
        self._handler = handler
        _board.listen("irq", self._id, self._fire if handler else None)
        _call("pin_irq", self._id, trigger if handler else 0)
        return self

    def _fire(self, event):
        if self._handler:
            self._handler(self)

    def __repr__(self):
        return "Pin(%d)" % self._id

    def __eq__(self, other):
        return isinstance(other, Pin) and other._id == self._id

    def __hash__(self):
        return self._id


class PWM:
    """The esp32 port's: a new one has 5 kHz and half the duty; the frequency is from 1 Hz to 40 MHz."""

    def __init__(self, dest, freq=None, duty=None, duty_u16=None, duty_ns=None, invert=0):
        self._id = dest._id if isinstance(dest, Pin) else Pin(dest)._id
        self._freq = 5000
        self._share = ("u16", 32768)
        self._on = True
        self.init(freq, duty, duty_u16, duty_ns)

    def init(self, freq=None, duty=None, duty_u16=None, duty_ns=None, invert=0):
        self._on = True
        if freq is not None:
            self._check_freq(freq)
            self._freq = freq
        if duty is not None:
            self._share = ("u16", self._checked(duty, 1023) * 65535 // 1023)
        elif duty_u16 is not None:
            self._share = ("u16", self._checked(duty_u16, 65535))
        elif duty_ns is not None:
            self._share = ("ns", self._checked(duty_ns, 1000000000 // self._freq))
        self._show()

    def freq(self, value=None):
        if value is None:
            return self._freq
        self._check_freq(value)
        self._freq = value
        self._show()

    def duty(self, value=None):
        if value is None:
            return self.duty_u16() * 1023 // 65535
        self.init(duty=value)

    def duty_u16(self, value=None):
        if value is None:
            kind, amount = self._share
            if kind == "u16":
                return amount
            return min(65535, amount * self._freq * 65535 // 1000000000)
        self.init(duty_u16=value)

    def duty_ns(self, value=None):
        if value is None:
            kind, amount = self._share
            if kind == "ns":
                return amount
            return amount * 1000000000 // (65535 * self._freq)
        self.init(duty_ns=value)

    def deinit(self):
        if self._on:
            self._on = False
            _call("pwm_end", self._id)

    def _show(self):
        _call("pwm", self._id, self._freq, self.duty_ns())

    def _check_freq(self, value):
        if not 1 <= value <= 40000000:
            raise ValueError("frequency must be from 1Hz to 40MHz")

    def _checked(self, value, most):
        if not 0 <= value <= most:
            raise ValueError("duty must be between 0 and %d" % most)
        return int(value)

    def __repr__(self):
        return "PWM(Pin(%d), freq=%d, duty_u16=%d)" % (self._id, self._freq, self.duty_u16())


class ADC:
    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = range(4)
    WIDTH_9BIT, WIDTH_10BIT, WIDTH_11BIT, WIDTH_12BIT = range(9, 13)

    def __init__(self, pin, *, atten=ATTN_0DB):
        self._id = pin._id if isinstance(pin, Pin) else Pin(pin)._id
        self._width = 12
        self._atten = atten
        _call("adc_read", self._id, atten)  # refuses a pin without an ADC

    def init(self, *, atten=ATTN_0DB):
        self._atten = atten

    def atten(self, value):
        self._atten = value

    def deinit(self):
        pass

    def width(self, value):
        self._width = value

    def read_u16(self):
        return _call("adc_read", self._id, self._atten)[0]

    def read(self):
        return self.read_u16() >> (16 - self._width)

    def read_uv(self):
        return _call("adc_read", self._id, self._atten)[1]


def bitstream(pin, encoding, timing, buffer):
    """`timing` does not matter to the strip here."""
    _call("bitstream", pin._id, bytes(buffer).hex())


def time_pulse_us(pin, level, timeout_us=1000000):
    return _call("pulse_us", pin._id, level, timeout_us)


def dht_readinto(pin, buffer):
    """The port's own helper behind dht.py, which tells here which sensor it reads."""
    buffer[:] = bytes.fromhex(_call("dht", pin._id, 22))


def freq():
    return 240000000


def unique_id():
    return bytes.fromhex(_call("unique_id"))


def idle():
    _board.poll()
