"""Our modules for a board without PSRAM: what is renamed, what never is, what is one file, which texts leave."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from itertools import chain

import pytest
from tests.firmware.conftest import MICROPYTHON, ROOT

from microclaw.devices.flash.without_psram import FOR_PROGRAMS, shorten_names

FIRMWARE = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "firmware/fw").glob("*.py"))}


@cache
def shortened_firmware() -> dict[str, str]:
    return shorten_names(FIRMWARE, (ROOT / "firmware/main.py").read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("module", sorted(FOR_PROGRAMS))
def test_what_a_program_can_hold_keeps_its_names_and_imports_only_such_modules(module: str) -> None:
    """A program's text may not say `_env`; it may say any name that took its place, and would hold the firmware.

    An object of another module could come to a program unseen. An error is caught by its class alone.
    """
    defined = set()
    imported = set()
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


def test_what_stands_for_a_module_of_programs_keeps_its_names() -> None:
    for node in ast.walk(ast.parse(FIRMWARE["modules"])):
        match node:
            case ast.Assign(targets=[ast.Name(id="OF_NET")], value=value):
                modules = set(ast.literal_eval(value).values())
    assert "net" in modules
    assert modules <= FOR_PROGRAMS


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
