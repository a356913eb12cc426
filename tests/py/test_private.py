"""Ways from a program into the firmware are refused at their line; a program's own private names are its own."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

PIN = "from machine import Pin\nimport machine, os, sys\np = Pin(13, Pin.OUT)\n"


@pytest.mark.parametrize(
    "line",
    [
        "p._env",
        "machine._real",
        "print.__globals__",
        "p.value.__globals__",
        "sys.__dict__",
        "p.__dict__",
        'getattr(p, "_env")',
        'getattr(p.value, "__globals__")',
        "sys.modules",
        "import uctypes",
        "import vfs",
        "import builtins",
        "try:\n    import builtins\nexcept ImportError:\n    pass",
        "list(map(getattr, [p], ['x']))",
        "g = getattr",
    ],
)
async def test_way_into_the_firmware_is_refused(line: str, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(f"{PIN}{line}\n")
    first = caught.value.diagnostics[0]
    assert first.severity == "error"
    assert first.line in (4, 5)


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
    assert "getattr(p, public_(name))" in image.rewritten
