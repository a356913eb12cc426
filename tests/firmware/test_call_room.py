"""Each call goes with the memory that `Calls` asks for before it, on the 32-bit port with everything given back before.

Where that is less than a call takes, MicroPython's heap grows into the memory of Wi-Fi and TLS on a chip.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.firmware.conftest import SMALL, micropython
from tests.firmware.programs import BLINK, compiled, image

SCRIPT = """
import asyncio, gc, json
sys.path.insert(0, WORDS[0])
from board import Board
from calls import NEEDS, USUAL_NEED, Calls
from runner import Runner

with open(WORDS[2], "rb") as file:
    IMAGE = file.read()
SLACK = 1024  # a block, what the test itself takes, and texts: as flashed, they are in a file
runner = Runner(Board({"memory_floor": 0}), WORDS[1])
runner.board.is_small = False  # what is left after a program's start is not looked at
calls = Calls(runner.board, runner, "1")

def fill(free):
    # Many small blocks, as in a heap in use.
    runner.make_room()
    blocks = [None] * (runner.board.own_free() // 256)
    at = 0
    while runner.board.own_free() > free + SLACK:
        blocks[at] = bytearray(240)
        at += 1
    return blocks

faults = []

async def ask(method, params, is_full):
    blocks = fill(NEEDS.get(method, USUAL_NEED)) if is_full else []
    answer = await calls.answer(b"1", method, params, True)
    blocks.clear()
    if not answer["ok"]:
        faults.append([method, answer["error"]])

async def main():
    asked = [("device.info", {}), ("device.status", {}), ("gpio.set", {"pin": 5, "level": 1}), ("gpio.get", {"pin": 5})]
    for name in ("first", "first", "second"):
        begin = {"name": name, "kind": "py", "size": len(IMAGE), "sha256": bytes.fromhex(WORDS[3])}
        pieces = [{"offset": at, "data": IMAGE[at : at + 512]} for at in range(0, len(IMAGE), 512)]
        asked += [("apps.begin", begin)] + [("apps.write", piece) for piece in pieces] + [("apps.commit", {})]
    asked += [("apps.list", {}), ("edges.read", {"cursor": 0}), ("apps.stop", {"name": "first"})]
    asked += [("apps.start", {"name": "first"}), ("apps.undo", {"name": "first"}), ("apps.remove", {"name": "second"})]
    asked += [("apps.undo", {"name": "second"}), ("apps.remove", {"name": "first"})]
    for is_full in (False, True):  # names stay from the first time; as flashed, ours are in flash
        for method, params in asked:
            await ask(method, params, is_full)
    print(json.dumps(faults))

asyncio.run(main())
"""

READING_IN = """
import gc, json, os
sys.path.insert(0, WORDS[0])
from board import Board
from loading import room_for
from runner import Runner

runner = Runner(Board(), WORDS[1])
SLACK = 256  # a block
faults = []

def fill(free):
    # Many small blocks: the free memory is one piece.
    runner.make_room()
    blocks = [None] * (runner.board.own_free() // 64)
    at = 0
    while runner.board.own_free() > free + SLACK:
        blocks[at] = bytearray(48)
        at += 1
    return blocks

names = [name for name in runner.OF_PROGRAMS.split() if name + ".mpy" in os.listdir(WORDS[0])]
names += ["modules", "standstill"]
for is_full in (False, True):  # names stay from the first time; as flashed, ours are in flash
    for name in names:
        blocks = fill(room_for(WORDS[0] + "/" + name + ".mpy")) if is_full else []
        try:
            __import__(name)
        except MemoryError as exc:
            faults.append([name, str(exc)])
        blocks.clear()
print(json.dumps([len(names), faults]))
"""


def test_each_call_goes_with_the_memory_that_is_asked_for_before_it(tmp_path: Path) -> None:
    data = image(tmp_path, "program", BLINK)
    words = [str(compiled(tmp_path / "fw")), str(tmp_path / "apps"), str(tmp_path / "program.mpy")]
    words.append(hashlib.sha256(data).hexdigest())
    answers = micropython(SCRIPT, *words, program=SMALL, options=("-X", "heapsize=160K"))
    assert json.loads(answers.splitlines()[-1]) == []


def test_each_module_of_programs_is_read_in_with_the_memory_that_is_asked_for_before_it(tmp_path: Path) -> None:
    words = [str(compiled(tmp_path / "fw")), str(tmp_path / "apps")]
    answers = micropython(READING_IN, *words, program=SMALL, options=("-X", "heapsize=160K"))
    count, faults = json.loads(answers.splitlines()[-1])
    assert count > 10
    assert faults == [], faults
