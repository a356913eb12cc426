"""From source to .mpy: its head, its lines, its pins, the limits of the compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.programs.py.conftest import Build

import microclaw
from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.py.compile import READER_FILES, build
from microclaw.programs.py.py_image import PinClaim

BLINK = """from machine import Pin
import time

led = Pin(13, Pin.OUT)
button = Pin(14, Pin.IN)


def wait(ms):
    # a comment


    time.sleep_ms(
        ms)
    return 1 // ms


while True:
    led.value(not led.value())
    wait(500)
"""
NATIVE = """import micropython

@micropython.{kind}
def twice(x):
    return x + x

print(twice(4))
"""


async def refusals(build_py: Build, source: str) -> list[Diagnostic]:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    return [d for d in caught.value.diagnostics if d.severity == "error"]


async def test_plain_program_is_one_file_for_every_chip_and_comes_from_the_cache(build_py: Build) -> None:
    image = await build_py(BLINK)
    again = await build_py(BLINK)
    assert image.mpy[:3] == b"M\x06\x00"
    assert b"app.py" in image.mpy
    assert (image.arch, image.imports, image.pins) == (None, ("machine", "time"), (13, 14))
    assert image.claims == (PinClaim(13, "drives"), PinClaim(14, "reads"))
    assert (image.cached, again.cached, again.compile_ms, again.mpy) == (False, True, 0.0, image.mpy)


async def test_what_was_read_before_is_answered_without_a_reader_also_if_it_was_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = BuildCache(tmp_path)
    board = load_board("virtual")
    image = await build(BLINK, "app", board=board, cache=cache)
    with pytest.raises(BuildError) as refused:
        await build("import pyb\n", "app", board=board, cache=cache)
    # Without an interpreter there is no reader.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    again = await build(BLINK, "app", board=board, cache=cache)
    assert (again.mpy, again.lines, again.claims) == (image.mpy, image.lines, image.claims)
    with pytest.raises(BuildError) as refused_again:
        await build("import pyb\n", "app", board=board, cache=cache)
    assert refused_again.value.diagnostics == refused.value.diagnostics
    with pytest.raises((BuildError, OSError)):
        await build(BLINK, "other", board=board, cache=cache)
    with pytest.raises((BuildError, OSError)):
        await build(BLINK, "app", board=load_board("esp32-c3-devkitm-1"), cache=cache)
    with pytest.raises((BuildError, OSError)):
        await build(BLINK, "app", board=board, cache=cache, hosts=("a.example",))


READ_FILES = """
import sys
from pathlib import Path

opened = set()
sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
import microclaw
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.py.py_image import ProgramQuestion
from microclaw.programs.py.reader import answer

source = "import dht, microclaw.screen\\nfrom umqtt.simple import MQTTClient\\n"
answer(ProgramQuestion(source, "app", load_board("virtual")))
opened |= {module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)}
package = Path(microclaw.__file__).parent
for path in opened:
    if path.startswith(str(package)) and "__pycache__" not in path:
        print(Path(path).relative_to(package).as_posix())
"""


def test_the_key_of_the_cache_has_every_file_that_the_reader_reads() -> None:
    run = subprocess.run([sys.executable, "-c", READ_FILES], capture_output=True, text=True, check=True)
    package = Path(microclaw.__file__).parent
    hashed = set()
    for pattern in READER_FILES:
        hashed |= {path.relative_to(package).as_posix() for path in package.glob(pattern)}
    assert "programs/py/reader.py" in hashed
    assert set(run.stdout.split()) <= hashed


@pytest.mark.parametrize(
    ("board", "kind", "arch", "number"),
    [("esp32-s3-devkitc-1-v1.1", "native", "xtensawin", 10), ("esp32-c3-devkitm-1", "viper", "rv32imc", 11)],
)
async def test_native_code_is_made_for_the_boards_chip(
    build_py: Build, board: str, kind: str, arch: str, number: int
) -> None:
    image = await build_py(NATIVE.format(kind=kind), board=load_board(board))
    assert image.arch == arch
    assert (image.mpy[1], image.mpy[2] >> 2) == (6, number)


async def test_decorators_of_the_compiler_need_no_import(build_py: Build) -> None:
    image = await build_py(NATIVE.format(kind="native").removeprefix("import micropython\n"))
    assert (image.arch, image.imports) == ("xtensawin", ("micropython",))


READ_BY_MICROPYTHON = {
    "tabs": "def twice(x):\n        y = x\n\treturn y + y\nTEXT = '''\n\ta'''\nprint(twice(2), len(TEXT))\n",
    "generator": "def total(start, items):\n    return sum(items) + start\nprint(total(1, x for x in (1, 2)))\n",
}


@pytest.mark.parametrize("form", READ_BY_MICROPYTHON)
async def test_what_micropython_reads_is_read_though_cpython_refuses_it(form: str, build_py: Build) -> None:
    source = READ_BY_MICROPYTHON[form]
    with pytest.raises(SyntaxError):
        compile(source, "app.py", "exec")
    image = await build_py(source)
    assert image.source == source
    assert "'\\n\\ta'" in image.rewritten or form != "tabs"


async def test_traceback_is_told_in_lines_of_the_source(build_py: Build) -> None:
    image = await build_py(BLINK.replace("wait(500)", "wait(0)"))
    rewritten = image.rewritten.splitlines()
    division = next(n for n, line in enumerate(rewritten, 1) if "1 // ms" in line)
    call = next(n for n, line in enumerate(rewritten, 1) if "await wait(0)" in line)
    told = f"""Traceback (most recent call last):
  File "/fw_a/runner.py", line 229, in _run
  File "app.py", line {call}, in main
  File "app.py", line {division}, in wait
ZeroDivisionError: divide by zero"""
    assert (
        image.source_traceback(told)
        == """Traceback (most recent call last):
  File "app.py", line 19, in <module>
  File "app.py", line 14, in wait
ZeroDivisionError: divide by zero"""
    )


@pytest.mark.parametrize(
    "source",
    [
        "\n".join(f'w{n} = "{n:060d}"' for n in range(600)),  # too large
        "x = (" * 300,
        "if 1:\n" + "".join(" " * n + "if 1:\n" for n in range(1, 90)) + " " * 90 + "pass",
        *("x = '\0'", "x = 1 +", "await x", "print('\ud800')", "\tx = 1\n  y = 2"),
        *("a = [1]\nprint([*a, 2])", "int main(void) {\n  return 0;\n}"),
    ],
)
async def test_what_python_or_the_board_cannot_read_is_refused_once(build_py: Build, source: str) -> None:
    assert len(await refusals(build_py, source)) == 1


@pytest.mark.parametrize("word", ["subscribe('house/led', print)", "connect()"])
async def test_mqtt_beyond_publish_is_refused_with_what_to_do(build_py: Build, word: str) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"from microclaw import mqtt\nmqtt.publish('a', 1)\nmqtt.{word}\n")
    found = caught.value.diagnostics
    assert [(each.line, "no MQTT broker" in each.render(), "mqtt.publish" in each.render()) for each in found] == [
        (3, True, True)
    ]


@pytest.mark.parametrize("odd", ["\x0c", "\x85", "\u2029"])
async def test_what_looks_like_the_end_of_a_line_and_is_none_is_refused_with_its_place(
    build_py: Build, odd: str
) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"x = 1\r\n# spare:{odd}print(x)\n")
    found = caught.value.diagnostics[0]
    assert (found.line, found.column) == (2, 9)
