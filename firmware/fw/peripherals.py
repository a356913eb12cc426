"""`machine` and the LED and sensor modules as a program sees them: pins claimed, writes counted."""

REFUSED = (
    "reset",
    "soft_reset",
    "bootloader",
    "deepsleep",
    "lightsleep",
    "sleep",
    "WDT",
    "disable_irq",
    "enable_irq",
    "mem8",
    "mem16",
    "mem32",
    "SDCard",
)
PIN_FIRST = ("ADC", "PWM", "DAC", "TouchPad", "NeoPixel", "DHT11", "DHT22", "OneWire", "APA106")
PIN_ARGUMENTS = ("pin", "scl", "sda", "sck", "mosi", "miso", "tx", "rx", "rts", "cts", "ws", "sd", "mck", "cs", "dest")


class Machine:
    """`machine` of one program. Names that are not here are the real ones, with pins unwrapped."""

    def __init__(self, env, real):
        self._env = env
        self._real = real
        self.Pin = PinMaker(env, real.Pin)

    def __getattr__(self, name):
        if name == "Timer":
            from timers import TimerMaker

            self.Timer = TimerMaker(self._env)
            return self.Timer
        if name == "Signal":
            from timers import Signal

            return Signal
        if name in REFUSED:
            raise AttributeError("machine.%s is not for programs" % name)
        return _wrapped(self._env, getattr(self._real, name), name)


class Unwrapping:
    """A module, class or function whose arguments may be pins: the real one gets real pins, each claimed."""

    def __init__(self, env, real, name):
        self._env = env
        self._real = real
        self._name = name

    def __getattr__(self, name):
        return _wrapped(self._env, getattr(self._real, name), name)

    def __call__(self, *args, **kwargs):
        env = self._env
        args = list(args)
        if args and self._name in PIN_FIRST:
            args[0] = self._pin(args[0])
        args = [_real_pin(arg) for arg in args]
        for key in PIN_ARGUMENTS:
            if kwargs.get(key) is not None:
                kwargs[key] = self._pin(kwargs[key])
        made = self._real(*args, **kwargs)
        if hasattr(made, "deinit"):
            env._closing.append(made)
        return made

    def _pin(self, pin):
        env = self._env
        if isinstance(pin, int):
            env.claim(pin)
            number, pin = pin, env._board.machine.Pin(pin)
        else:
            number = getattr(pin, "number", None)
            pin = _real_pin(pin)
        if self._name == "PWM" and number is not None:
            env._board.timeline.watch(number, "pwm")
        return pin


class PinMaker:
    """`machine.Pin` of one program: makes outputs that count and inputs that are counted. Not a subclass."""

    def __init__(self, env, real):
        self._env = env
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def __call__(self, pin, mode=-1, *args, **kwargs):
        env, number = self._env, pin.number if isinstance(pin, OutputPin) else pin
        if not isinstance(number, int):
            raise ValueError("a pin is a number")
        env.claim(number)
        known = env._inputs.get(number)
        if mode is None or mode < 0:
            if known is not None:
                return known
            return OutputPin(env, self._real(number, **kwargs), number, kwargs.get("value"))
        made = self._real(number, mode, *args, **kwargs)
        if mode != self._real.IN:
            if known is not None:
                known.stop_counting()
                del env._inputs[number]
            return OutputPin(env, made, number, kwargs.get("value"))
        if known is None:
            known = env._inputs[number] = InputPin(env, made, number)
        return known


class OutputPin:
    """A pin whose writes are counted; stock images have no interrupt for their own outputs."""

    def __init__(self, env, real, number, level=None):
        self.real = real
        self.number = number
        self._env = env
        self._timeline = env._board.timeline
        if number not in self._timeline:
            self._timeline.watch(number, "written", real.value() if level is None else 0)
        if level is not None:
            self._timeline.write(number, 1 if level else 0)

    def __repr__(self):
        return "Pin(%d)" % self.number

    def value(self, *level):
        if not level:
            return self.real.value()
        bit = 1 if level[0] else 0
        self.real.value(bit)
        self._timeline.write(self.number, bit)

    __call__ = value

    def on(self):
        self.value(1)

    high = on

    def off(self):
        self.value(0)

    low = off

    def toggle(self):
        self.value(1 - self.real.value())

    def irq(self, handler=None, trigger=None, **_):
        """Also where the host did not see that this is a pin's: else the handler would run in the interrupt itself."""
        return self._env.irq(self, handler, trigger)

    def init(self, *args, **kwargs):
        self.real.init(*args, **kwargs)
        if kwargs.get("value") is not None:
            self._timeline.write(self.number, 1 if kwargs["value"] else 0)

    def __getattr__(self, name):
        return getattr(self.real, name)


class InputPin(OutputPin):
    """A pin whose edges an interrupt counts; the program's own handler is called from there."""

    def __init__(self, env, real, number):
        self.real = real
        self.number = number
        self._env = env
        self._timeline = env._board.timeline
        self._handler = None
        self._trigger = 0
        self._rising, self._falling = real.IRQ_RISING, real.IRQ_FALLING
        self._count()

    def _count(self):
        self._counts = True
        self._timeline.watch(self.number, "counted", self.real.value())
        self.real.irq(handler=self._edge, trigger=self._rising | self._falling)

    def stop_counting(self):
        self._counts = False
        self._timeline.watch(self.number, "written", self.real.value())
        self.real.irq(handler=None)

    def handle(self, handler, trigger):
        self._handler = handler
        self._trigger = self._rising | self._falling if trigger is None else trigger
        if not self._counts:
            self._count()

    def _edge(self, real):
        level = real.value()
        self._timeline.count(self.number, level)
        if self._handler is not None and self._trigger & (self._rising if level else self._falling):
            self._env.call(self._handler, self)

    def value(self, *level):
        """It became an output by `init` when the program writes it; its own interrupt would not fire then."""
        if level and self._counts:
            self.stop_counting()
        return OutputPin.value(self, *level)

    __call__ = value


def _wrapped(env, found, name):
    return Unwrapping(env, found, name) if callable(found) else found


def _real_pin(value):
    return value.real if isinstance(value, OutputPin) else value
