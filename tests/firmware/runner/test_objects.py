"""The attributes in the host's check of a program are those of the board's objects."""

from __future__ import annotations

import json

from tests.firmware.runner.conftest import MicroPython

from microclaw.py.stock import stock_image

MADE = {
    "machine.Pin": ("E.module('machine').Pin(4, 1)", "E.module('machine').Pin(5, 0)"),
    "machine.Signal": ("E.module('machine').Signal(E.module('machine').Pin(4, 1), invert=True)",),
    "microclaw.pin": ("E.module('microclaw').pin(4)", "E.module('microclaw').pin(5, 'in')"),
    "microclaw.adc": ("__import__('microclaw_devices').Adc",),
    "microclaw.pwm": ("E.module('microclaw').pwm(4)",),
    "microclaw.servo": ("E.module('microclaw').servo(4)",),
    "microclaw.neopixel": ("__import__('microclaw_devices').Strip(None, 2)",),
}
OF_THE_IMAGE = {"machine.PWM", "machine.ADC"}
"""MicroPython's own, which the port for computers lacks."""
OF_THE_FIRMWARE = {"handle", "stop_counting"}
"""What its own files call of an input."""


def test_an_object_has_the_names_of_its_list_and_no_others(micropython: MicroPython) -> None:
    rows = [(kind, made) for kind, several in MADE.items() for made in several]
    lines = "".join(
        f"    made = {made}\n    E.print(E.module('json').dumps([n for n in dir(made) if n[0] != '_' and n == n.lower()]))\n"
        for _, made in rows
    )
    micropython.compile("p", f"async def main(E):\n{lines}")
    printed = micropython.act(f"""
        await install(runner, "p")
        await until(lambda: len(lines()) == {len(rows)} or events("app.crash"))
        return lines() + events("app.crash")
    """)
    assert MADE.keys() | OF_THE_IMAGE == stock_image().objects.keys()
    for (kind, _), line in zip(rows, printed, strict=True):
        assert set(json.loads(line)) - OF_THE_FIRMWARE == stock_image().objects[kind], kind
