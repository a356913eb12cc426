"""Methods that pins, PWM and ADC objects lack: refused where the class is sure, taken where it is not."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

MAKES = "from machine import ADC, PWM, Pin\nled = Pin(2, Pin.OUT)\nadc = ADC(Pin(32))\npwm = PWM(Pin(4), freq=50)\n"


@pytest.mark.parametrize(
    "source",
    [
        f"{MAKES}led.togle()\n",
        f"{MAKES}pwm.blink()\n",
        "from machine import Pin\nPin(2, Pin.OUT).togle()\n",
        "import machine\nled = None\ndef go():\n    led.togle()\nled = machine.Pin(2)\ngo()\n",
        "from machine import Pin\nclass Lamp:\n    def __init__(self):\n        self.pin = Pin(2, Pin.OUT)\n"
        "    def flip(self):\n        self.pin.togle()\nLamp().flip()\n",
        f"{MAKES}other = led\nother.togle()\n",
    ],
)
async def test_a_method_that_the_object_lacks_is_refused_with_the_nearest(build_py: Build, source: str) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    assert [d.severity for d in caught.value.diagnostics].count("error") == 1


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
