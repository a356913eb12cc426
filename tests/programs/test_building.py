"""A source becomes an image of the kind that the device takes; Python is known by its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import DeployRejected
from microclaw.hardware.boards import load_board
from microclaw.programs.building import cached_compiler, is_python, program_language, stored_facts, stored_program
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.py.py_image import PyImage
from microclaw.programs.wasm.wasm_image import WasmImage

BLINK = """\
from machine import Pin
import time
led = Pin(2, Pin.OUT)
while True:
    led.value(not led.value())
    time.sleep(0.5)
"""
C_BLINK = '#include "microclaw.h"\nvoid on_init(void) { gpio_open(2, GPIO_OUT); }\n'


async def test_the_language_is_known_by_the_text_and_by_the_name_of_the_file() -> None:
    for source in (BLINK, "import time\nwhile True\n    time.sleep(1)\n", "x = 1\nprint(x)\n"):
        assert await is_python(source), source
    for source in (C_BLINK, "int main(void) { return 0; }", "void setup() {}\nvoid loop() {}"):
        assert not await is_python(source), source
    assert [program_language(name) for name in ("a.py", "a.ino", "a.txt")] == ["python", "sketch", None]


async def test_each_kind_is_built_where_the_device_takes_it_and_python_is_stored_whole(tmp_path: Path) -> None:
    build = cached_compiler(BuildCache(tmp_path))
    board = load_board("virtual")
    python = await build(BLINK, board, "blink", "O3", None, ("wasm", "py"))
    assert isinstance(python, PyImage)
    assert (python.kind, python.pins) == ("py", (2,))
    assert isinstance(await build(C_BLINK, board, "blink", "O3", None, ("wasm", "py")), WasmImage)
    with pytest.raises(DeployRejected):
        await build(BLINK, board, "blink", "O3", None, ("wasm",))
    with pytest.raises(DeployRejected):
        await build(C_BLINK, board, "blink", "O3", None, ("py",))
    again = stored_program(python.code, python.source, stored_facts(python))
    kept = (python.code, python.sha256, python.pins, python.lines, BLINK)
    assert (again.code, again.sha256, again.pins, again.lines, again.source) == kept
