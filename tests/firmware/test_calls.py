"""Calls on a board that is short of memory: refused in words before the heap grows."""

from __future__ import annotations

import json
from pathlib import Path

from tests.firmware.conftest import SMALL, micropython

SCRIPT = """
import asyncio, json, sys
import runner
from calls import Calls

class Board:
    free = 0
    def own_free(self):
        return self.free
    def now_ms(self):
        return 1
    def gc_free(self):
        return 2
    def idf_free(self):
        return 3
    def idf_largest(self):
        return 3

board = Board()
made = runner.Runner(board, WORDS[1])
found = []
for board.free, method in json.loads(WORDS[0]):
    sys.modules["storage"] = sys
    answer = asyncio.run(Calls(board, made, "1").answer(b"1", method, {}, True))
    found.append([answer.get("error", {}).get("code"), "storage" in sys.modules])
print(json.dumps(found))
"""


ROWS = [
    (5000, "device.status", "failed", False),
    (6000, "apps.begin", "failed", False),
    (6000, "device.status", None, True),
    (0, "apps.stop", "bad_params", True),
]


def test_a_call_that_would_make_the_heap_grow_is_refused_but_a_stop_never(tmp_path: Path) -> None:
    asked = json.dumps([row[:2] for row in ROWS])
    answers = json.loads(micropython(SCRIPT, asked, str(tmp_path / "apps")))
    assert answers == [[code, kept] for _, _, code, kept in ROWS]


OVERFLOW = """
import asyncio, json
import runner
from calls import Calls

class Board:
    def own_free(self):
        return 1 << 20
    def gpio_set(self, pin, level):
        raise OverflowError("overflow converting long int to machine word")
    pwm_set = adc_read = gpio_set

board = Board()
calls = Calls(board, runner.Runner(board, WORDS[0]), "1")

async def main():
    found = []
    for method, params in (
        ("gpio.set", {"pin": 2, "level": 1}),
        ("gpio.set", {"pin": 1 << 70, "level": 1}),
        ("gpio.set", {"pin": 2.0, "level": 1}),
        ("pwm.set", {"pin": 2, "duty": 1 << 64, "frequency_hz": 5}),
        ("pwm.set", {"pin": 2, "duty": 1, "frequency_hz": 1e300}),
        ("edges.read", {"cursor": -(1 << 80)}),
        ("apps.write", {"offset": 1 << 62, "data": b"x"}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 1 << 62, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 1, "heap": 1 << 62, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "every_ms": 1 << 70, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "stop_after_ms": True, "sha256": b"x" * 32}),
        ("apps.begin", {"name": "a", "kind": "py", "size": 9, "every_ms": 1 << 32, "sha256": b"x" * 32}),
    ):
        answer = await calls.answer(bytes(16), method, params, True)
        found.append([answer["error"]["code"], len(answer["error"]["message"]) > 10])
    print(json.dumps(found))

asyncio.run(main())
"""


def test_numbers_that_a_chip_cannot_hold_are_bad_arguments(tmp_path: Path) -> None:
    answers = micropython(OVERFLOW, str(tmp_path / "apps"), program=SMALL)
    assert json.loads(answers) == [["bad_params", True]] * 12
