"""What is given to be called later: what surely is no function is refused, and what may be one is taken."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

MAKES = "from machine import Pin, Timer\nfrom microclaw import every, on\nled = Pin(2, Pin.OUT)\n"
WAITS = "def blink():\n    led.toggle()\ndef waits():\n    return blink\n"


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("every(1000, 0)", "0 is no function", "give it a function"),
        ("every(1000, None)", "None is no function", "give it a function"),
        ("every(1000, task='blink')", "'blink' is no function", "give it a function"),
        ("N = 5\nevery(1000, N)", "N is no function", "give it a function"),
        ("every(blink, 1000)", "1000 is no function", "give it a function"),
        ("every(1000, 2 * 3)", "2 * 3 is no function", "give it a function"),
        ("every(500, led.toggle())", "calls led.toggle now", "leave the parentheses out: led.toggle"),
        ("every(500, blink())", "calls blink now", "leave the parentheses out: blink"),
        ("every(500, led.value(1))", "calls led.value now", "lambda: led.value(...)"),
        ("every(500, print('x'))", "calls print now", "lambda: print(...)"),
        ("on(14, 'falling', [blink])", "[blink] is no function", "give it a function"),
        ("on(14, 'falling', task=blink())", "calls blink now", "leave the parentheses out: blink"),
        ("led.irq(handler=1)", "1 is no function", "give it a function"),
        ("led.irq(blink())", "calls blink now", "leave the parentheses out: blink"),
        ("Timer(0).init(period=5, callback=blink())", "calls blink now", "leave the parentheses out: blink"),
    ],
)
async def test_what_surely_is_no_function_is_refused(build_py: Build, line: str, said: str, hint: str) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"{MAKES}{WAITS}{line}\n")
    (found,) = [one for one in caught.value.diagnostics if one.severity == "error"]
    assert said in found.message
    assert found.hint is not None
    assert found.hint.startswith(hint)


@pytest.mark.parametrize(
    "line",
    [
        "every(500, blink)",
        "every(500, led.toggle)",
        "every(500, waits())",
        "every(500, lambda: led.value(1))",
        "@every(500)\ndef tick():\n    led.toggle()",
        "@on(14, 'falling')\ndef pressed(): led.on()",
        "task = None\ntask = blink\nevery(500, task)",
        "def go(task):\n    every(500, task)\ngo(blink)",
        "led.irq(handler=None)",
        "led.irq(blink, Pin.IRQ_FALLING)",
        "Timer(0).init(period=5, callback=lambda t: led.toggle())",
        "every(500, [blink][0])",
    ],
)
async def test_what_may_be_a_function_is_taken(build_py: Build, line: str) -> None:
    await build_py(f"{MAKES}{WAITS}{line}\n")
