"""A board in one process with a clock that only goes on when the program waits or calls: for MicroPython's unix port.

Stands in for microclaw.virtual.py's `_board`; times are whole microseconds.
"""

import json

import ffi

COST_US = 20
now_us = 0
limit_us = 0
events = []  # [ms, what, ...]
said = []
_levels = {}
_modes = {}
_handlers = {}
_triggers = {}
_due = []  # (us, order, kind, number, value)
_order = 0
_waiting = []
_busy = False
_exit = ffi.open(None).func("v", "_exit", "i")


def finish(how):
    print(json.dumps({"how": how, "ms": now_us // 1000, "events": events, "said": said}))
    _exit(0)


def later(us, kind, number, value):
    global _order
    _order += 1
    _due.append((us, _order, kind, number, value))
    _due.sort()


def advance(us):
    """Let time go on; what falls due happens at its own moment, handlers never inside another."""
    global now_us
    end = now_us + us
    while _due and _due[0][0] <= end:
        at, _, kind, number, value = _due.pop(0)
        now_us = max(now_us, at)
        if now_us > limit_us:
            finish("over")
        if kind == "pin":
            _set(number, value)
        elif _handlers.get(("timer", number)) and value[1] == _timers.get(number):
            if value[0]:
                later(at + value[0], "timer", number, value)
            _waiting.append(("timer", number))
        deliver()
        end = max(end, now_us)
    now_us = end
    if now_us > limit_us:
        finish("over")


def deliver():
    global _busy
    if _busy:
        return
    _busy = True
    try:
        while _waiting:
            event = _waiting.pop(0)
            handler = _handlers.get(event)
            if handler:
                handler(event)
    finally:
        _busy = False


_timers = {}
_read_values = [0]


def listen(kind, number, handler):
    if handler is None:
        _handlers.pop((kind, number), None)
    else:
        _handlers[kind, number] = handler


def poll():
    advance(1000)


def note(*what):
    events.append([now_us // 10 / 100] + list(what))


def _set(pin, level):
    before = _levels.get(pin)
    _levels[pin] = level
    trigger = _triggers.get(pin, 0)
    if before != level and trigger & (1 if level else 2):
        _waiting.append(("irq", pin))


def _write(pin, level):
    if _levels.get(pin, 0) != level:
        note("pin", pin, level)
    _set(pin, level)


def call(name, *args):
    advance(COST_US)
    function = _CALLS.get(name)
    return function(*args) if function else None


def _init(pin, mode, pull, value):
    _modes[pin] = mode
    if mode == 1 and pin not in _levels:
        _levels[pin] = 1 if pull == 2 else 0
    if value is not None:
        _write(pin, value)


def _start(number, period, periodic):
    _timers[number] = _timers.get(number, 0) + 1
    us = int(period * 1000)
    later(now_us + us, "timer", number, (us if periodic else 0, _timers[number]))


def _stop(number):
    _timers[number] = _timers.get(number, 0) + 1


def _adc(pin):
    _read_values[0] = (_read_values[0] + 7919) % 65536
    return [_read_values[0], _read_values[0] * 50]


def _pwm(pin, freq, duty_ns):
    note("pwm", pin, freq, duty_ns // 1000)


_CALLS = {
    "pin_init": _init,
    "pin_write": _write,
    "pin_read": lambda pin: _levels.get(pin, 0),
    "pin_irq": lambda pin, trigger: _triggers.update({pin: trigger}),
    "timer_start": _start,
    "timer_stop": _stop,
    "adc_read": _adc,
    "pwm": _pwm,
    "pwm_end": lambda pin: note("pwm_end", pin),
    "bitstream": lambda pin, data: note("leds", pin, data),
    "pulse_us": lambda pin, level, timeout: 583,
    "dht": lambda pin, kind: "0237010f49" if kind == 22 else "3700190050",
    "unique_id": lambda: "a1b2c3d4e5f6",
    "i2c_open": lambda *args: 0,
    "i2c_scan": lambda bus: [0x3C, 0x68],
    "i2c_read": lambda bus, address, size: "2a" * size,
    "i2c_write": lambda bus, address, data: note("i2c", address, data),
    "onewire": lambda *args: ["28ff641e8216c3a1"],
}
