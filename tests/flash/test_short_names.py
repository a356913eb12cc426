"""Names of our modules on a board without PSRAM: what is renamed, what never is, and that it costs less."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import Any

import pytest
from tests.firmware.conftest import MICROPYTHON, ROOT

from microclaw.flash.short_names import FOR_PROGRAMS, shortened

MAIN = "import start\nstart.main()\n"
FIRMWARE = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "firmware/fw").glob("*.py"))}


def names(text: str) -> set[str]:
    """Every name of attributes, functions and classes."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


def test_a_name_is_the_same_in_every_module_after_it() -> None:
    made = shortened({"start": "import other\nother._begin(_x=1)\n", "other": "def _begin(_x):\n    return _x\n"}, MAIN)
    (new,) = names(made["other"])
    assert new != "_begin"
    assert made["start"] == f"import other\nother.{new}(_x=1)\n"  # a keyword's name stays


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("_kept", "class A:\n    _kept = 1\nNAMES = '_kept _more'\n"),  # getattr may ask for a text
        ("gpio_set", "def gpio_set():\n    pass\nNAMES = 'gpio.set'\n"),  # calls.py makes such a name of it
        ("_kept", "def f(_kept):\n    g(_kept=1)\n"),  # it may be the keyword of a function of MicroPython
        ("extend", "class A:\n    def extend(self):\n        pass\n"),  # methods of built-in types
        ("isconnected", "class A:\n    def isconnected(self):\n        pass\n"),  # what the stock image has
        ("_ainit_", "class A:\n    def _ainit_(self):\n        pass\n"),  # the contract with programs
        ("main", "def main():\n    pass\n"),  # what main.py calls
        ("_Z", "_Z = const(4)\n"),  # the compiler hides it by its first letter
    ],
)
def test_such_a_name_stays(name: str, source: str) -> None:
    assert re.search(rf"\b{name}\b", shortened({"start": source}, MAIN)["start"])


def test_what_a_program_can_hold_keeps_its_names() -> None:
    """A program's text may not say `_env`; it may say any name that took its place, and would hold the firmware."""
    made = shortened(FIRMWARE, (ROOT / "firmware/main.py").read_text(encoding="utf-8"))
    for module in FOR_PROGRAMS:
        defined = {
            node.attr
            for node in ast.walk(ast.parse(FIRMWARE[module]))
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        assert defined <= names(made[module]), module


def test_what_modules_for_programs_import_is_for_programs_too() -> None:
    """Else a new file's objects could come to a program unseen. An error is caught by its class alone."""
    for module in FOR_PROGRAMS:
        imported = set()
        for node in ast.walk(ast.parse(FIRMWARE[module])):
            match node:
                case ast.Import(names=aliases):
                    imported |= {alias.name for alias in aliases}
                case ast.ImportFrom(module=str(name)):
                    imported.add(name)
        assert imported & FIRMWARE.keys() <= FOR_PROGRAMS | {"errors"}, module


def test_a_number_of_one_module_compiles_away() -> None:
    made = shortened(
        {"start": "SIZE = 3\nx = SIZE\n", "other": "SIZES = 4\n", "third": "import other\nother.SIZES\n"}, MAIN
    )
    assert made["start"].startswith("_SIZE = const(3)\n")
    assert made["start"].endswith(" = _SIZE\n")
    assert "const" not in made["other"]


def test_the_modules_are_the_same_each_time() -> None:
    main = (ROOT / "firmware/main.py").read_text(encoding="utf-8")
    assert shortened(FIRMWARE, main) == shortened(dict(FIRMWARE), main)


def test_no_name_that_is_replaced_is_one_of_micropython() -> None:
    """Whatever MicroPython has under such a name would be missed. Its unix port tells which names it had not."""
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    made = shortened(FIRMWARE, (ROOT / "firmware/main.py").read_text(encoding="utf-8"))
    before = set().union(*(names(text) for text in FIRMWARE.values()))
    gone = sorted(before - set().union(*(names(text) for text in made.values())))
    assert len(gone) > 200
    script = f"import micropython\nclass A: pass\nfor n in '{' '.join(gone)}'.split(): setattr(A, n, 1)\n"
    done = subprocess.run(
        [str(MICROPYTHON), "-c", f"{script}micropython.qstr_info(1)"], capture_output=True, text=True, check=True
    )
    new = {line[2:-1] for line in done.stdout.splitlines() if line.startswith("Q(")}
    assert [name for name in gone if name not in new] == []


def test_no_name_that_is_replaced_is_one_of_a_chip() -> None:
    """The doubles of `machine`, `network` and `esp32` have what the firmware asks of a chip."""
    folder = ROOT / "tests/firmware/simulated"
    doubles = [(folder / name).read_text(encoding="utf-8") for name in ("machine.py", "radio/network.py")]
    asked = {name for text in doubles for name in names(text) if not name.startswith("_")}
    made = shortened(FIRMWARE, (ROOT / "firmware/main.py").read_text(encoding="utf-8"))
    before = set().union(*(names(text) for text in FIRMWARE.values()))
    assert before & asked <= set().union(*(names(text) for text in made.values()))


def test_names_of_one_module_alone_are_shared_by_modules() -> None:
    """Each is a name in flash, which costs nothing; what another module asks for by its name has one of its own."""
    sources = {
        "first": "def reckon_something(many_numbers):\n    return sum(many_numbers)\ndef for_others():\n    return 1\n",
        "second": "import first\ndef wait_a_little(how_long_now):\n    return how_long_now + first.for_others()\n",
    }
    made = shortened(sources, "")
    first, second = (ast.parse(made[name]) for name in ("first", "second"))
    functions = [[node.name for node in tree.body if isinstance(node, ast.FunctionDef)] for tree in (first, second)]
    assert functions[0][0] == functions[1][0]
    assert functions[0][1] not in {functions[0][0], functions[1][0]}
    assert f"first.{functions[0][1]}()" in made["second"]
    space: dict[str, Any] = {}
    exec(made["first"], space)
    assert space[functions[0][0]]([1, 2]) == 3
