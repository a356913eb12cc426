"""Modules and classes that take pins, as ADC, PWM or NeoPixel: each pin is claimed, the real one gets real pins."""

from peripherals import OutputPin

# One text takes less memory than a list.
PIN_FIRST = " ADC PWM DAC TouchPad NeoPixel DHT11 DHT22 OneWire APA106 SoftI2C bitstream time_pulse_us dht_readinto "
BUSES = " UART I2C SPI "
PIN_ARGUMENTS = " pin scl sda sck mosi miso tx rx rts cts ws sd mck cs dest src phase_a phase_b "


class Unwrapping:
    """A module, class or function whose arguments may be pins: the real one gets real pins, each claimed."""

    def __init__(self, env, real, name):
        self._env = env
        self._real = real
        self._name = " %s " % name

    def __getattr__(self, name):
        return wrapped(self._env, getattr(self._real, name), name)

    def __call__(self, *args, **kwargs):
        env = self._env
        name = self._name
        is_bus = name in BUSES
        has_number = args and type(args[0]) is int and args[0]
        if name == " UART " and not has_number:
            raise ValueError("UART(0) is the cable's: use UART(1) with its pins")
        if name == " freq " and (args or kwargs):
            raise TypeError("the chip's clock stays as it is: the radio and the other programs depend on it")
        pins = is_bus and env.pins()
        args = list(args)
        for at in range(len(args)):
            if isinstance(args[at], OutputPin) or (name in PIN_FIRST and at < 1 + (name == " SoftI2C ")):
                args[at] = self._claimed(args[at])
        for key in kwargs:
            if " %s " % key in PIN_ARGUMENTS and kwargs[key] is not None:
                kwargs[key] = self._claimed(kwargs[key])
        device = self._real(*args, **kwargs)
        if is_bus:
            self._claim_defaults(device, pins)
        if hasattr(device, "deinit"):
            env._closing.append(device)
        return device

    def _claim_defaults(self, device, pins):
        """Claim default pins, which come from the image or an earlier program: the bus tells which they are."""
        env = self._env
        try:
            # "I2C(0, scl=18, sda=19, freq=400000)".
            for part in repr(device)[:-1].split(", "):
                key, _, value = part.partition("=")
                if " %s " % key in PIN_ARGUMENTS and value.isdigit():
                    env.claim(int(value))
        except (ValueError, OSError):
            if hasattr(device, "deinit"):
                device.deinit()
            for pin in env.pins():
                if pin not in pins:
                    del env._board.owners[pin]
            raise

    def _claimed(self, pin):
        env = self._env
        number = pin
        if isinstance(pin, OutputPin):
            number = pin._pin
            pin = pin._real
        elif type(pin) is int:
            env.claim(pin)
            pin = env._board.machine.Pin(pin)
        else:
            # A text may be the name of a pin, which no program claims.
            raise ValueError("a pin is a number")
        if self._name == " PWM ":
            env._board.timeline.watch(number, "pwm")
        return pin


def wrapped(env, value, name):
    if callable(value):
        return Unwrapping(env, value, name)
    return value
