"""`machine` as a program sees it: pins claimed, writes counted. Inputs and what takes pins are read in when used."""

REFUSED = " bootloader deepsleep lightsleep sleep WDT disable_irq enable_irq mem8 mem16 mem32 SDCard "


class Machine:
    """`machine` of one program. Names that are not here are the real ones, with pins unwrapped."""

    def __init__(self, env, real):
        self._env = env
        self._real = real
        self.Pin = PinMaker(env, real.Pin)

    def __getattr__(self, name):
        if name == "Timer":
            self.Timer = self._env.ours("timers").TimerMaker(self._env)
            return self.Timer
        if name in ("reset", "soft_reset"):
            return self._env.ours("timers").restarting(self._env)
        if name in ("Signal", "RTC"):
            return getattr(self._env.ours("timers"), name)
        if " %s " % name in REFUSED:
            raise AttributeError("machine.%s is not for programs" % name)
        return self._env.wrapped(getattr(self._real, name), name)


class PinMaker:
    """`machine.Pin` of one program: makes outputs that count and inputs that are counted. Not a subclass."""

    def __init__(self, env, real):
        self._env = env
        self._real = real

    def __getattr__(self, name):
        return _constant(self._real, name)

    def __call__(self, pin, mode=-1, *args, **kwargs):
        env = self._env
        number = pin._pin if isinstance(pin, OutputPin) else pin
        # A class of the program may give each caller another number.
        if type(number) is not int:
            raise ValueError("a pin is a number")
        env.claim(number)
        input_pin = env._inputs.get(number)
        if mode is None or mode < 0:
            if input_pin is not None:
                return input_pin
            return OutputPin(env, self._real(number, **kwargs), number, kwargs.get("value"))
        real = self._real(number, mode, *args, **kwargs)
        if mode != self._real.IN:
            if input_pin is not None:
                input_pin.stop_counting()
                del env._inputs[number]
            return OutputPin(env, real, number, kwargs.get("value"))
        if input_pin is None:
            input_pin = env.input(real, number)
        return input_pin


class OutputPin:
    """A pin whose writes are counted; stock images have no interrupt for their own outputs."""

    def __init__(self, env, real, number, level=None):
        self._real = real
        self._pin = number
        self._env = env
        self._timeline = env._board.timeline
        if number not in self._timeline:
            self._timeline.watch(number, "written", real.value() if level is None else 0)
        if level is not None:
            self._timeline.write(number, 1 if level else 0)

    def __repr__(self):
        return "Pin(%d)" % self._pin

    def value(self, *level):
        if not level:
            return self._real.value()
        bit = 1 if level[0] else 0
        self._real.value(bit)
        self._timeline.write(self._pin, bit)

    __call__ = value

    def on(self):
        self.value(1)

    high = on

    def off(self):
        self.value(0)

    low = off

    def toggle(self):
        self.value(1 - self._real.value())

    def irq(self, handler=None, trigger=None, **_):
        """Set a handler, also if the host did not see that this is a pin: else it would run in the interrupt itself."""
        return self._env.irq(self, handler, trigger)

    def init(self, *args, **kwargs):
        self._real.init(*args, **kwargs)
        if kwargs.get("value") is not None:
            self._timeline.write(self._pin, 1 if kwargs["value"] else 0)

    def __getattr__(self, name):
        return _constant(self._real, name)


def _constant(real, name):
    """Return a constant of Pin; `board` and `cpu` are refused, as they have unclaimed pins."""
    if not name.isupper():
        raise AttributeError(name)
    return getattr(real, name)
