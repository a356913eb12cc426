"""Ways from a program into the firmware are refused at their line; a program's own private names are its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

ROOT = Path(__file__).parents[2]
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
        "Pin.value = print",
        "p.__getattr__('board')",
        "object.__setattr__(p, '_env', 1)",
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


@pytest.mark.parametrize(
    "line",
    [
        "p._env = 1",
        "setattr(p, '_env', 1)",
        "delattr(p, '_env')",
        "class A:\n    _env = 1\np._env",
        "setattr(p, 'x' + 'y', 1)\np._env",
    ],
)
async def test_name_of_the_firmwares_is_another_in_a_program(line: str, build_py: Build) -> None:
    text = (await build_py(f"{PIN}{line}\n")).rewritten
    assert "_env_own" in text
    assert "_env" not in text.replace("_env_own", "")


async def test_private_attribute_is_renamed_wherever_it_stands(build_py: Build) -> None:
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
    parts = (
        "_pin_own = 3",
        "_both_own = (_pin_own, 1)",
        "def _run_own",
        "other._pin_own += 1",
        "'_pin_own'",
        "_pin = 5",
    )
    assert [part for part in parts if part not in text] == []


def test_no_name_of_the_firmware_is_as_those_of_programs() -> None:
    for path in (ROOT / "firmware/fw").glob("*.py"):
        names = re.findall(r"\b_\w+", path.read_text(encoding="utf-8"))
        assert not [name for name in names if re.search(r"_own\d*$", name)], path.name
