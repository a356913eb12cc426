"""Sets the pins that no program has, for the host: functions of Board, read in when needed."""

from errors import CallError


def _free_pin(board, pin):
    if pin in board.reserved:
        raise CallError("pin_refused", "pin %d is reserved for %s" % (pin, board.reserved[pin]))
    if pin in board.owners:
        raise CallError("pin_refused", "pin %d belongs to the program %s" % (pin, board.owners[pin]))


def gpio_set(board, pin, level):
    _free_pin(board, pin)
    out = _checked(pin, lambda: board.machine.Pin(pin, board.machine.Pin.OUT))
    out.value(level)
    if pin not in board.timeline:
        board.timeline.watch(pin, "written")
    board.timeline.write(pin, level)


def gpio_get(board, pin):
    """Return the level; a pin without an owner becomes an input first, a pin that the host set stays as it is."""
    if pin in board.owners or (pin in board.timeline and pin not in board.reserved):
        return _checked(pin, lambda: board.machine.Pin(pin)).value()
    _free_pin(board, pin)
    return _checked(pin, lambda: board.machine.Pin(pin, board.machine.Pin.IN)).value()


def adc_read(board, pin):
    """Return (raw, volts); raw is 0 to 65535."""
    _free_pin(board, pin)
    adc = _checked(pin, lambda: board.machine.ADC(board.machine.Pin(pin)))
    if hasattr(board.machine.ADC, "ATTN_11DB"):
        adc.atten(board.machine.ADC.ATTN_11DB)
    return adc.read_u16(), adc.read_uv() / 1_000_000


def pwm_set(board, pin, duty, frequency_hz):
    """Start PWM; `duty` is 0 to 255."""
    _free_pin(board, pin)
    _checked(pin, lambda: board.machine.PWM(board.machine.Pin(pin), freq=frequency_hz, duty_u16=duty * 257))
    board.timeline.watch(pin, "pwm")


def i2c_bus(board, program=None):
    """Return the bus at the board's I2C pins.

    The pins stay free for all: only pins of another program are refused.
    """
    if not board.i2c_pins:
        raise CallError("not_supported", "nobody told this board its I2C pins")
    for pin in board.i2c_pins:
        if board.owners.get(pin, program) != program or pin in board.reserved:
            _free_pin(board, pin)
    sda, scl = board.i2c_pins
    return _checked(sda, lambda: board.machine.SoftI2C(sda=board.machine.Pin(sda), scl=board.machine.Pin(scl)))


def i2c_scan(board):
    """Addresses of 7 bits."""
    return i2c_bus(board).scan()


def i2c_read(board, sensor):
    """Return the values of a sensor, by name and unit, from the first of its addresses that answers."""
    import sensors

    part, places = sensors.find(sensor)
    if not places:
        names = ", ".join(sensors.names())
        raise CallError("bad_params", "this board has no driver for %s, only for %s" % (sensor[:32], names))
    bus = i2c_bus(board)
    for address in places:
        readings = sensors.values(bus, part, address, __import__)
        if readings is not None:
            return {name: round(value, 3) for name, value in readings.items()}
    raise CallError("failed", "no %s answers at the board's I2C pins" % sensor)


def _checked(pin, make):
    try:
        return make()
    except (ValueError, OSError) as exc:
        raise CallError("pin_refused", "pin %d: %s" % (pin, exc))
