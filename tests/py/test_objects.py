"""Methods that pins, PWM and ADC objects lack: refused where the class is sure, taken where it is not."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

MAKES = "from machine import ADC, PWM, Pin\nled = Pin(2, Pin.OUT)\nadc = ADC(Pin(32))\npwm = PWM(Pin(4), freq=50)\n"


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        (f"{MAKES}led.togle()\n", "did you mean toggle?"),
        (f"{MAKES}print(adc.readu16())\n", "did you mean read_u16?"),
        (f"{MAKES}pwm.duty_16(5)\n", "did you mean duty_u16?"),
        (f"{MAKES}pwm.blink()\n", "it has deinit, duty, duty_ns, duty_u16, freq, init"),
        ("from machine import Pin\nPin(2, Pin.OUT).togle()\n", "did you mean toggle?"),
        (
            "import machine\nled = None\ndef go():\n    led.togle()\nled = machine.Pin(2)\ngo()\n",
            "did you mean toggle?",
        ),
        (
            "from machine import Pin\nclass Lamp:\n    def __init__(self):\n        self.pin = Pin(2, Pin.OUT)\n"
            "    def flip(self):\n        self.pin.togle()\nLamp().flip()\n",
            "did you mean toggle?",
        ),
        ("from microclaw import servo\ns = servo(4)\ns.angel(90)\n", "did you mean angle?"),
        (f"{MAKES}other = led\nother.togle()\n", "did you mean toggle?"),
    ],
)
async def test_a_method_that_the_object_lacks_is_refused_with_the_nearest(
    build_py: Build, source: str, hint: str
) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    assert [d.hint for d in caught.value.diagnostics if d.severity == "error"] == [hint]


@pytest.mark.parametrize(
    "source",
    [
        f"{MAKES}led.toggle()\nled.value(led.OUT)\nadc.read_uv()\npwm.duty_u16(5)\n",
        f"{MAKES}def flip(led):\n    led.togle()\n",  # a parameter can be anything
        "from machine import Pin\nclass Mock:\n    def togle(self): pass\nled = Mock()\nled = Pin(2)\nled.togle()\n",
        f"{MAKES}try:\n    led.togle()\nexcept AttributeError:\n    led.on()\n",
        f"{MAKES}if hasattr(adc, 'readu16'):\n    adc.readu16()\n",
        f"{MAKES}for one in (led, adc):\n    one.togle()\n",
        "from machine import Pin\nclass A:\n    def __init__(self, p):\n        self.p = p\n"
        "    def go(self):\n        self.p.togle()\nclass B:\n    def __init__(self):\n        self.p = Pin(2)\nB()\n",
    ],
)
async def test_an_object_that_may_be_another_is_left_alone(build_py: Build, source: str) -> None:
    await build_py(source)
