"""Ways from a program into the firmware are refused at their line; a program's own private names are its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.programs.py.private import LEADING
from microclaw.programs.py.stock import stock_image

ROOT = Path(__file__).parents[3]
FIRMWARE = (
    "inputs", "microclaw", "microclaw_devices", "modules", "output", "peripherals", "program", "standstill", "timers",
    "unwrapping",
)  # fmt: skip

PIN = "from machine import Pin\nimport machine, os, sys\np = Pin(13, Pin.OUT)\n"


@pytest.mark.parametrize(
    "line",
    [
        "p._env",
        "print.__globals__",
        "p.value.__globals__",
        "sys.__dict__",
        'getattr(p, "_env")',
        "sys.modules",
        "import uctypes",
        "try:\n    import builtins\nexcept ImportError:\n    pass",
        "list(map(getattr, [p], ['x']))",
        "getattr(*(p, '_e' + 'nv'))",
        "list(map(setattr, [p], ['_env'], [1]))",
        "delattr(p, '_env')",
        "p._env = 1",
        "setattr(p, '_env', 1)",
        "Pin.value = print",
        "p.__getattr__('board')",
        "object.__setattr__(p, '_env', 1)",
        "class A:\n    _env = 1\np._env",
        "setattr(p, 'x' + 'y', 1)\np._env",
        "def via(o): return o.__dict__",
        "try:\n    from machine import _env\nexcept ImportError:\n    pass",
    ],
)
async def test_way_into_the_firmware_is_refused(line: str, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"{PIN}{line}\n")
    first = caught.value.diagnostics[0]
    assert first.severity == "error"
    assert first.line in (4, 5, 6)
    assert any(d.hint for d in caught.value.diagnostics)


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    _x = 1\n    def f(self):\n        self._y = 2\n        return self._y\nprint(A()._x)\n",
        "class A:\n    def f(self):\n        return self.__dict__\nprint(A().f())\n",
        "class A:\n    pass\na = A()\nsetattr(a, '_n', 1)\nprint(a._n, getattr(a, '_n'))\n",
        "from collections import namedtuple\nP = namedtuple('P', ('x',))\nprint(P(1)._asdict())\n",
    ],
)
async def test_private_names_of_the_program_are_its_own(source: str, build_py: Build) -> None:
    assert (await build_py(source)).warnings == ()


async def test_name_of_getattr_is_looked_at_when_it_runs(build_py: Build) -> None:
    image = await build_py(f'{PIN}for name in ("_e" + "nv",):\n    getattr(p, name)\n')
    assert "getattr(p, own_(name))" in image.rewritten


@pytest.mark.parametrize("name", sorted(LEADING))
async def test_name_that_leads_to_the_firmware_is_for_the_programs_own_objects_alone(
    name: str, build_py: Build
) -> None:
    own = f"class A:\n    def __init__(self):\n        self.{name} = 1\n    def f(self):\n        return self.{name}\n"
    assert (
        f"self.{name}_own"
        in (await build_py(f"{own}a = A()\nprint(a.f(), a.{name}, getattr(a, '{name}'))\n")).rewritten
    )
    with pytest.raises(BuildError) as caught:
        await build_py(f"{own}{PIN}print(p.{name})\n")
    assert [(d.line, "another name" in (d.hint or "")) for d in caught.value.diagnostics] == [(9, True)]


async def test_attribute_with_a_name_of_the_firmwares_is_renamed_wherever_it_stands(build_py: Build) -> None:
    source = """class A:
    _pin = 3
    _both = (_pin, 1)
    def _run(self):
        return self._pin
    def change(self, other):
        other._pin += 1
        setattr(other, "_pin", other._pin + 1)
        return hasattr(other, "_pin") and other._run()
_pin = 5
print(A().change(A()), _pin, A._both)
"""
    text = (await build_py(source)).rewritten
    parts = ("_pin_own = 3", "_both = (_pin_own, 1)", "def _run_own", "other._pin_own += 1", "'_pin_own'", "_pin = 5")
    assert [part for part in parts if part not in text] == []
    assert "_both_own" not in text


def test_the_list_of_the_firmwares_private_names_is_true() -> None:
    told = stock_image().firmware_private
    found = set[str]()
    for path in FIRMWARE:
        for made in ast.walk(ast.parse((ROOT / f"firmware/fw/{path}.py").read_text(encoding="utf-8"))):
            if isinstance(made, ast.ClassDef):
                found |= {n.attr for n in ast.walk(made) if isinstance(n, ast.Attribute) and _of_self(n)}
                found |= {n.name for n in made.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    private = {name for name in found if name.startswith("_") and not name.endswith("__")}
    assert private - told == set()
    assert told - private <= LEADING
    assert told >= LEADING
    assert not [name for name in private if name.endswith("_") or "_own" in name]


def test_every_file_whose_objects_a_program_gets_is_walked() -> None:
    """Imports of these files from the firmware are among them, or have no class whose object is handed on."""
    walked = set(FIRMWARE)
    files = {path.stem for path in (ROOT / "firmware/fw").glob("*.py")}
    for name in FIRMWARE:
        tree = ast.parse((ROOT / f"firmware/fw/{name}.py").read_text(encoding="utf-8"))
        read = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        read |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert read & files - walked <= {"errors", "sensors"}, name


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"
