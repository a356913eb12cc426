"""Our modules for a board without PSRAM: what is renamed, what never is, what is one file, which texts leave."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from tests.firmware.conftest import MICROPYTHON, ROOT

from microclaw.flash.without_psram import FOR_PROGRAMS, HOME, merged, outlined, shortened

MAIN = "import start\nstart.main()\n"
FIRMWARE = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "firmware/fw").glob("*.py"))}


@cache
def shortened_firmware() -> dict[str, str]:
    return shortened(FIRMWARE, (ROOT / "firmware/main.py").read_text(encoding="utf-8"))


def names(*texts: str) -> set[str]:
    """Every name of attributes, functions and classes."""
    found = set()
    for node in chain.from_iterable(ast.walk(ast.parse(text)) for text in texts):
        match node:
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
    return found


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


@pytest.mark.parametrize("module", sorted(FOR_PROGRAMS))
def test_what_a_program_can_hold_keeps_its_names_and_imports_only_such_modules(module: str) -> None:
    """A program's text may not say `_env`; it may say any name that took its place, and would hold the firmware.

    An object of another module could come to a program unseen. An error is caught by its class alone.
    """
    defined, imported = set(), set()
    for node in ast.walk(ast.parse(FIRMWARE[module])):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()):
                defined.add(name)
            case ast.Import(names=aliases):
                imported |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(name)):
                imported.add(name)
    assert defined <= names(shortened_firmware()[module])
    assert imported & FIRMWARE.keys() <= FOR_PROGRAMS | {"errors"}


def test_no_name_that_is_replaced_is_one_of_micropython_or_of_a_chip() -> None:
    """Whatever they have under such a name would be missed.

    MicroPython's unix port tells which names it had not; the doubles of `machine` and `network` have what the firmware
    asks of a chip.
    """
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    gone = sorted(names(*FIRMWARE.values()) - names(*shortened_firmware().values()))
    assert len(gone) > 200
    folder = ROOT / "tests/firmware/simulated"
    asked = names(*((folder / name).read_text() for name in ("machine.py", "radio/network.py")))
    assert [name for name in gone if name in asked and name[0] != "_"] == []
    script = f"import micropython\nclass A: pass\nfor n in '{' '.join(gone)}'.split(): setattr(A, n, 1)\n"
    done = subprocess.run(
        [str(MICROPYTHON), "-c", f"{script}micropython.qstr_info(1)"], capture_output=True, text=True, check=True
    )
    new = {line[2:-1] for line in done.stdout.splitlines() if line.startswith("Q(")}
    assert [name for name in gone if name not in new] == []


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("find = 1\n", "def find():\n    return 1\n"),
        ("import json\n", "json = 1\n"),
        ("import os as x\n", "import sys as x\n"),
    ],
)
def test_a_name_with_two_meanings_in_a_group_is_refused(low: str, high: str) -> None:
    with pytest.raises(ValueError, match="take another name"):
        merged({"cbor": low, "calls": high})


def test_no_module_of_a_group_takes_the_name_of_what_is_built_in() -> None:
    """Another one of the group would get it. Every group is of modules that there are."""
    assert HOME.keys() <= FIRMWARE.keys()
    for name in HOME:
        assert not {*_bound(ast.parse(FIRMWARE[name]))} & {*dir(builtins)}, name


def test_a_text_for_people_is_read_when_it_is_said(tmp_path: Path) -> None:
    source = (
        '"""What it is."""\nWORDS = "one two three four"\n'
        'def f(text, why="no reason at all"):\n    """Say it."""\n'
        '    if text:\n        raise ValueError("this is %s: %s" % (text, why))\n'
        '    return "two words", "session", "a b"\n'
    )
    made, texts = outlined({"cbor": source, "texts": FIRMWARE["texts"], "other": source})
    assert texts == b"this is %s: %s\n"
    assert made["other"] == source
    assert "this is" not in made["cbor"]
    (tmp_path / "texts.txt").write_bytes(texts)
    script = "import cbor\nprint(cbor.f(''))\ntry:\n    cbor.f('it')\nexcept ValueError as exc:\n    print(exc)\n"
    assert run(made, tmp_path, script) == "('two words', 'session', 'a b')\nthis is it: no reason at all\n"


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name


def run(modules: dict[str, str], folder: Path, script: str) -> str:
    """The output of a script that imports these modules."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    command = [str(MICROPYTHON), "-c", f"import sys\nsys.path.insert(0, {str(folder)!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
