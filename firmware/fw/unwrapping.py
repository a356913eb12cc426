"""Modules and classes that take pins, as ADC, PWM or NeoPixel: each pin is claimed, the real one gets real pins."""

from peripherals import OutputPin

PIN_FIRST = ("ADC", "PWM", "DAC", "TouchPad", "NeoPixel", "DHT11", "DHT22", "OneWire", "APA106")
PIN_ARGUMENTS = ("pin", "scl", "sda", "sck", "mosi", "miso", "tx", "rx", "rts", "cts", "ws", "sd", "mck", "cs", "dest")


class Unwrapping:
    """A module, class or function whose arguments may be pins: the real one gets real pins, each claimed."""

    def __init__(self, env, real, name):
        self._env = env
        self._real = real
        self._name = name

    def __getattr__(self, name):
        return wrapped(self._env, getattr(self._real, name), name)

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


def wrapped(env, found, name):
    return Unwrapping(env, found, name) if callable(found) else found


def _real_pin(value):
    return value.real if isinstance(value, OutputPin) else value
