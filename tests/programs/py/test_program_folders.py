"""Programs of several files: a folder of tests/vectors/python_folders prints in a trial what it prints in CPython."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.reader import load_board
from microclaw.interfaces.cli.python_files import find_python_files
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.py_image import MAX_MPY_BYTES
from microclaw.programs.py.source_files import imports_of, join_files, wanted_modules

FOLDERS: Final = Path(__file__).parents[2] / "vectors/python_folders"
BOARD: Final = load_board("virtual")


def folder_text(folder: Path) -> str:
    text = (folder / "main.py").read_text(encoding="utf-8")
    return join_files("main.py", text, find_python_files(folder / "main.py", text))


def cpython_lines(folder: Path) -> list[str]:
    environ = {**os.environ, "PYTHONPATH": str(folder / "lib"), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "main.py"]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()


async def refusals(build_py: Build, text: str) -> list[Diagnostic]:
    with pytest.raises(BuildError) as caught:
        await build_py(text, board=BOARD)
    return [found for found in caught.value.diagnostics if found.severity == "error"]


@pytest.mark.parametrize("name", sorted(folder.name for folder in FOLDERS.iterdir()))
async def test_a_folder_prints_what_it_prints_in_cpython(name: str, build_py: Build) -> None:
    image = await build_py(folder_text(FOLDERS / name), board=BOARD)
    trial = await try_image(image, BOARD, TrialOptions(for_ms=1000))
    assert [line.rstrip() for line in trial.log] == cpython_lines(FOLDERS / name), trial.error


async def test_boot_runs_first_with_the_names_of_main(build_py: Build, tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text("import time\nSTART = 5\nprint('boot', __name__)\n")
    (tmp_path / "main.py").write_text("print('main', START, time is not None)\n".replace("time is not None", "1"))
    image = await build_py(folder_text(tmp_path), board=BOARD)
    trial = await try_image(image, BOARD, TrialOptions(for_ms=200))
    assert trial.log == ("boot __main__", "main 5 1")


async def test_a_traceback_names_the_files_their_lines_and_their_names(build_py: Build) -> None:
    files = {
        "lib/drv.py": "def bits(n):\n    return 1 // n\n",
        "lamp.py": "import drv\n\ndef bits():\n    drv.bits(0)\n",
    }
    image = await build_py(join_files("main.py", "import lamp\n\nlamp.bits()\n", files), board=BOARD)
    trial = await try_image(image, BOARD, TrialOptions(for_ms=200))
    frames = [line.strip() for line in (trial.trap or "").splitlines() if "File" in line]
    assert frames == [
        'File "main.py", line 3, in <module>',
        'File "lamp.py", line 4, in bits',
        'File "lib/drv.py", line 2, in bits',
    ]
    assert trial.error == "it ended at line 2 of lib/drv.py, in bits: ZeroDivisionError: divide by zero"


async def test_findings_name_the_file_and_its_line(build_py: Build) -> None:
    (found,) = await refusals(build_py, join_files("main.py", "import lamp\n", {"lamp.py": "x = 1\nprint(y)\n"}))
    assert (found.file, found.line, found.message) == ("lamp.py", 2, "nothing defines y")
    (found,) = await refusals(build_py, join_files("main.py", "import lamp\n", {"lib/lamp.py": "x = 1\ndef (:\n"}))
    assert (found.file, found.line) == ("lib/lamp.py", 2)
    warned = join_files("main.py", "import lamp\n", {"lamp.py": "x = 1\npassword = 'abcdefgh'\n"})
    (warning,) = (await build_py(warned, board=BOARD)).warnings
    assert (warning.file, warning.line) == ("lamp.py", 2)


LAMP = {"lamp.py": "def on():\n    return 1\n"}


@pytest.mark.parametrize(
    ("main", "message", "hint"),
    [
        ("import lamp\nprint(lamp)\n", "the module lamp is used as a value", "lamp.on"),
        ("import lamp\nfor m in [lamp]: m.on()\n", "the module lamp is used as a value", "lamp.on"),
        ("import lamp\ngetattr(lamp, 'on')()\n", "getattr(lamp)", "write lamp.on"),
        ("import lamp\nname = 'on'\ngetattr(lamp, name)()\n", "getattr(lamp)", "dict"),
        ("import lamp\nprint(dir(lamp))\n", "dir(lamp)", "dict"),
        ("import lamp\nprint(lamp.__dict__)\n", "lamp.__dict__ is not there", "dict"),
        ("import lamp\nclass A:\n    lamp.on = 1\n", "the body of a class cannot set lamp.on", "in a method"),
        ("import lamp\nlamp = 3\n", "lamp means something else in line 1 of main.py", "another name"),
        (
            "def f(lamp=False):\n    import lamp\n    return lamp.on()\nf()\n",
            "lamp means something else",
            "another name",
        ),
        ("import lamp\nprint(globals()['x'])\n", "globals()", "dict"),
        ("import lamp\nlamp.off()\n", "lamp.py has no off", "it has on"),
        ("from lamp import off\n", "lamp.py has no off", "it has on"),
        ("import lamp, absent\n", "the board's MicroPython has no module absent", "put absent.py beside the program"),
        ("import lamp\nfrom .other import x\n", ".other is no module of this program", "put other.py"),
        ("import lamp, board\n", "the board's MicroPython has no module board", "from machine import Pin"),
        ("import lamp, main\n", "the board's MicroPython has no module main", "is the program itself"),
    ],
)
async def test_a_module_is_no_value(main: str, message: str, hint: str, build_py: Build) -> None:
    found = (await refusals(build_py, join_files("main.py", main, LAMP)))[0]
    assert message in found.message
    assert hint in (found.hint or "")
    assert found.file == "main.py"


async def test_messages_and_tracebacks_have_the_names_of_the_files(build_py: Build) -> None:
    lamp = "import time\nTOKEN = 'abc'\nclass Lamp:\n    ms = 80\n    @property\n    def on(self):\n"
    lamp += "        self._wait()\n    def _wait(self):\n        time.sleep_ms(self.ms)\n"
    main = "from lamp import Lamp, TOKEN\nlight = TOKEN\nprint(Lamp().on)\n"
    image = await build_py(join_files("main.py", main, {"lamp.py": lamp}))
    secrets = [warning.message for warning in image.warnings if "secret" in warning.message]
    assert secrets == ["TOKEN looks like a secret in the source"]
    trial = await try_image(image, BOARD, TrialOptions())
    frames = [line.strip() for line in trial.log if line.strip().startswith("File ")]
    assert frames[-1] == 'File "lamp.py", line 9, in _wait'


async def test_a_name_that_an_empty_file_lacks_is_to_be_defined_there(build_py: Build) -> None:
    files = {"lamp.py": "", "house/roof.py": "", "shed/__init__.py": ""}
    for line, hint in (
        ("from lamp import on", "define on in lamp.py"),
        ("from shed import on", "define on in shed/__init__.py"),
        ("from house import on", "put on.py into that folder"),
    ):
        (found,) = await refusals(build_py, join_files("main.py", f"{line}\n", files))
        assert found.hint == hint


async def test_a_traceback_in_the_log_ends_at_the_line_that_calls_the_driver(build_py: Build) -> None:
    main = (
        "import ssd1306\nfrom machine import I2C, Pin\n"
        "i2c = I2C(0, scl=Pin(9), sda=Pin(8))\nssd1306.SSD1306_I2C(128, 64, i2c, addr=0x55)\n"
    )
    trial = await try_image(await build_py(main, board=BOARD), BOARD, TrialOptions(for_ms=200))
    frames = [line.strip() for line in trial.log if line.strip().startswith("File ")]
    assert frames == ['File "app.py", line 4, in <module>']


@pytest.mark.parametrize(
    ("first", "second", "place", "files"),
    [
        ("from second import Y\nX = 1\n", "from first import X\nY = 2\n", "second.py:1", "first.py and second.py"),
        ("import second\nX = 1\n", "Y = 2\nimport first\nprint(first.X)\n", "second.py:3", "first.py and second.py"),
        (
            "import second\ndef X(f):\n    pass\n",
            "import first as f\n@f.X\ndef Y():\n    pass\n",
            "second.py:2",
            "first.py",
        ),
        ("import second\nX = 1\n", "import third\n", "third.py:1", "first.py, second.py and third.py"),
    ],
)
async def test_a_name_of_a_cycle_that_python_has_not_bound_yet_is_refused(
    first: str, second: str, place: str, files: str, build_py: Build, tmp_path: Path
) -> None:
    texts = {"main.py": "import first\n", "first.py": first, "second.py": second, "third.py": "from first import X\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(subprocess.CalledProcessError):
        cpython_lines(tmp_path)
    found = (await refusals(build_py, folder_text(tmp_path)))[0]
    assert f"{found.file}:{found.line}" == place
    assert found.message.startswith(files)
    assert "import each other: X is not there yet" in found.message


async def test_two_files_of_one_module_are_refused(build_py: Build) -> None:
    files = {"lamp.py": "x = 1\n", "lamp/__init__.py": "x = 2\n"}
    (found,) = await refusals(build_py, join_files("main.py", "import lamp\n", files))
    assert found.message == "lamp.py and lamp/__init__.py are both the module lamp"


async def test_a_file_that_hides_a_module_of_the_image_is_not_used(build_py: Build) -> None:
    text = join_files("main.py", "import time\ntime.sleep(1)\n", {"time.py": "def ("})
    (warning,) = (await build_py(text, board=BOARD)).warnings
    assert (warning.file, warning.message) == ("time.py", "time.py is not used: the board has time itself")


async def test_an_import_in_a_function_runs_before_and_is_warned_of(build_py: Build) -> None:
    main = "def go():\n    import lamp\n    return lamp.x\nprint('first')\ngo()\n"
    text = join_files("main.py", main, {"lamp.py": "x = 1\nprint('lamp')\n"})
    image = await build_py(text, board=BOARD)
    assert [(found.file, found.line) for found in image.warnings] == [("main.py", 2)]
    trial = await try_image(image, BOARD, TrialOptions(for_ms=200))
    assert trial.log == ("lamp", "first")
    quiet = join_files("main.py", main, {"lamp.py": "x = 1\n"})
    assert (await build_py(quiet, board=BOARD)).warnings == ()


async def test_unused_definitions_are_left_out_only_if_the_program_is_too_large(build_py: Build) -> None:
    unused = "".join(f"def unused{n}():\n    print('{n:0180d}')\n" for n in range(200))
    main = "import big\nprint(big.used())\n"
    large = await build_py(join_files("main.py", main, {"big.py": f"{unused}def used():\n    return 1\n"}), board=BOARD)
    assert large.size_bytes < MAX_MPY_BYTES
    (warning,) = large.warnings
    assert warning.message.startswith("200 definitions left out that nothing uses: big.py: unused0, ")
    small = await build_py(join_files("main.py", main, {"big.py": "def no():\n    pass\ndef used():\n    return 1\n"}))
    assert "def no" in small.rewritten


async def test_definitions_that_act_are_not_left_out(build_py: Build) -> None:
    unused = "".join(f"def unused{n}():\n    print('{n:0180d}')\n" for n in range(200))
    acting = """
from machine import Pin
class Board:
    led = Pin(4, Pin.OUT, value=1)
class Heir(print("base") or object):
    pass
class Keys:
    def press(self, pin=Pin(5, Pin.OUT, value=1)):
        pass
    @print
    def told(self):
        pass
def press(pin=Pin(6, Pin.OUT, value=1)):
    pass
RATIO = 1 // 1
class Idle:
    level = property(len)
"""
    text = join_files("main.py", "import big\nprint(big.X)\n", {"big.py": f"{unused}{acting}X = 1\n"})
    image = await build_py(text, board=BOARD)
    for kept in ("class Board", "class Heir", "class Keys", "def told", "def press", "RATIO ="):
        assert kept in image.rewritten
    assert "Idle" not in image.rewritten


@pytest.mark.parametrize(
    ("module", "acts"),
    [
        ("TABLE = [0]\nTABLE[0] = 1 // 1\n", True),
        ("class A:\n    print('body')\n", True),
        ("for n in range(3):\n    pass\n", True),
        ("X = {}['absent']\n", True),
        ('"""Text."""\nimport time\nX = [1, -2, time.sleep]\ndef f(a=1):\n    print(a)\n', False),
        ("try:\n    from array import array\nexcept ImportError:\n    array = None\n", False),
    ],
)
async def test_an_import_in_an_if_is_warned_of_if_the_module_acts(module: str, acts: bool, build_py: Build) -> None:
    main = "DEBUG = False\nif DEBUG:\n    import dbg\n"
    image = await build_py(join_files("main.py", main, {"dbg.py": module}), board=BOARD)
    assert [(found.file, found.line) for found in image.warnings] == [("main.py", 3)] * acts


@pytest.mark.parametrize("change", ["+= [name for name in ['b']]", ".remove('a')", ".append(b)", ".sort() or 1"])
async def test_names_of_all_that_are_not_written_out_are_refused(change: str, build_py: Build) -> None:
    files = {"lamp.py": f"__all__ = ['a']\n__all__{change}\na = b = 1\n"}
    found = (await refusals(build_py, join_files("main.py", "from lamp import *\nprint(a, b)\n", files)))[0]
    assert (found.file, found.line) == ("lamp.py", 2)


async def test_a_star_that_brings_nothing_is_built(build_py: Build) -> None:
    text = join_files("main.py", "from lamp import *\nprint(1)\n", {"lamp.py": "__all__ = []\na = 1\n"})
    assert (await build_py(text)).warnings == ()


async def test_what_looks_like_a_mark_in_a_program_of_one_file_is_a_comment(build_py: Build) -> None:
    (found,) = await refusals(build_py, 'x = 1\n#line 1 "other.py"\nprint(y)\n')
    assert (found.file, found.line) == ("app.py", 3)


@pytest.mark.parametrize("module", ["a" * 300, "ß" * 80, ".".join("a" * 8000), f"microclaw.{'ß' * 200}"])
async def test_a_module_with_a_name_that_no_disk_holds_is_missing(module: str, build_py: Build, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"import {module}\n")
    text = folder_text(tmp_path)
    assert module in (await refusals(build_py, text))[0].message


def test_a_long_name_is_not_read_as_many_packages() -> None:
    for line in (f"import {'a.' * 8000}b", f"from {'a' * 8000} import {'b, ' * 100}c"):
        (node,) = imports_of(ast.parse(line))
        assert wanted_modules(node, "") == []
