"""Pins that remember, for tests of the runner. `levels` has what each pin shows; `drive` is the world outside."""

pins = {}
inited = []  # PWM and the like that are switched on
resets = []
registers = {}  # of I2C devices: address -> register -> bytes from there on, in hex
PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
SOFT_RESET = 5
cause = 1


def reset_cause():
    return cause


def reset():
    resets.append(1)
    raise SystemExit(3)


def freq(*hz):
    if hz:
        raise AssertionError("the clock was changed")
    return 160_000_000


class RTC:
    pass


class Named:
    """Pin.board and Pin.cpu: pins by their names."""

    def __getattr__(self, name):
        return Pin(int(name[4:]))


class Pin:
    board = cpu = Named()
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        if isinstance(id, Pin):
            id = id.id
        if not 0 <= id < 40:
            raise ValueError("invalid pin")
        self.id = id
        old = pins.get(id)
        self.state = old.state if old else {"level": 1 if id == 0 else 0, "mode": 1, "irq": None}
        pins[id] = self
        if mode != -1:
            self.init(mode)
        if value is not None:
            self.state["level"] = value

    def init(self, mode=-1, pull=-1, value=None):
        if mode == Pin.OUT and self.id >= 34:
            raise ValueError("pin can only be input")
        self.state["mode"] = mode

    def value(self, *level):
        if level:
            self.state["level"] = level[0]
        else:
            return self.state["level"]

    def irq(self, handler=None, trigger=3):
        self.state["irq"] = (handler, trigger) if handler else None


class PWM:
    def __init__(self, pin, freq=5000, duty_u16=0):
        assert isinstance(pin, Pin)
        self.pin = pin
        inited.append(self)

    def duty_u16(self, value):
        pass

    def deinit(self):
        if self in inited:
            inited.remove(self)


class Bus:
    """As the chip's: without pins it has those of before, at first the image's own, and its text names them."""

    def __init__(self, id, *_, **pins):
        for pin in pins.values():
            assert isinstance(pin, Pin)
        self.id = id
        self.has = dict(self.DEFAULTS[id])
        self.has.update({name: pin.id for name, pin in pins.items()})

    def __repr__(self):
        pins = ", ".join(["%s=%d" % (name, self.has[name]) for name in sorted(self.has)])
        return "%s(%d, baudrate=9600, %s)" % (type(self).__name__, self.id, pins)


class I2C(Bus):
    DEFAULTS = ({"scl": 18, "sda": 19}, {"scl": 25, "sda": 26})


class BusWithEnd(Bus):
    def __init__(self, id, *args, **pins):
        super().__init__(id, *args, **pins)
        inited.append(self)

    def deinit(self):
        if self in inited:
            inited.remove(self)


class SPI(BusWithEnd):
    DEFAULTS = (None, {"sck": 14, "mosi": 13, "miso": 12})


class UART(BusWithEnd):
    DEFAULTS = ({"tx": 1, "rx": 3}, {"tx": 10, "rx": 9, "rts": -1}, {"tx": 17, "rx": 16, "rts": -1})


class SoftI2C:
    def __init__(self, scl, sda):
        assert isinstance(scl, Pin)
        assert isinstance(sda, Pin)

    def readfrom_mem(self, address, register, size):
        if address not in registers:
            raise OSError(19)  # ENODEV
        return bytes.fromhex(registers[address][register])[:size]

    def writeto_mem(self, address, register, data):
        if address not in registers:
            raise OSError(19)


class ADC:
    def __init__(self, pin):
        assert isinstance(pin, Pin)

    def read_u16(self):
        return 1000


def drive(id, level):
    pin = pins[id]
    if pin.state["level"] != level:
        pin.state["level"] = level
        irq = pin.state["irq"]
        if irq and irq[1] & (1 if level else 2):
            irq[0](pin)
