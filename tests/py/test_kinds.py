"""The class of an object: looked at freely, had as a value only for the program's own objects."""

from __future__ import annotations

import pytest
from tests.py.conftest import Build

from microclaw.errors import BuildError

PIN = "from machine import Pin\np = Pin(13, Pin.OUT)\n"
EQUAL = "class E:\n    def __eq__(self, other):\n        self.kind = other\n        return True\n"


@pytest.mark.parametrize(
    "line",
    [
        "type(p).value = print",
        "T = type(p)\nT.value = print",
        "T = type(p)\nprint(T.value)",
        "t = type(p)\nprint(t is int)\nfor x in (t,): x(1)",
        "t = type(p)\nglobals()['t'](1)",
        "type(open('a.txt'))('/settings.json')",
        "p.__class__.value = print",
        "x = p.__class__\nx(1)",
        "list(map(type, [p]))",
        "T = type\nT(p)(1)",
        "f = [type]",
        "class A(type(p)): pass",
        "[k for k in (type(p),)]",
        "def f(o): return type(o)",
        "type(*(p,))",
        "isinstance(p, (int, type(p)))\ng = (int, type(p))",
        EQUAL + "E() == type(p)",
        EQUAL + "e = E()\ntype(p) in (1, e)",
        "class D(dict):\n    pass\nd = D()\nd[type(p)] = 1",
        "type(p) < 1",
    ],
)
async def test_class_of_an_object_that_may_be_the_firmwares_is_no_value(line: str, build_py: Build) -> None:
    with pytest.raises(BuildError):
        await build_py(f"{PIN}{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "x = [1]\nprint(type(x) == list, type(x[0]) is int, type(x) in (list, tuple))",
        "def f(x):\n    t = type(x)\n    if t is int or t in (str,):\n        return t.__name__\n    print(t)\nf(3)",
        "try:\n    1 // 0\nexcept Exception as e:\n    print(type(e).__name__, type(e), e.__class__.__name__)",
        "try:\n    1 // 0\nexcept ZeroDivisionError as e:\n    raise type(e)('again')",
        "x = 2\nprint('%s' % type(x), '%s %d' % (type(x), 1), '{}'.format(type(x)), f'{type(x)} {type(x).__name__}')",
        "x = 2\nprint(isinstance(x, type(3)), isinstance(x, (str, type(x))), {int: 'whole'}[type(x)])",
        EQUAL + "x = E()\nprint(type(x) == int, type(x) is E, type(3) in (int, str))",
        "x = 2\nprint(isinstance(x, type), x.__class__ is int, type(x) != type(3))",
    ],
)
async def test_looking_at_a_class_is_free(line: str, build_py: Build) -> None:
    assert "marked_" not in (await build_py(f"{line}\n")).rewritten


async def test_class_of_the_programs_own_object_is_a_value_behind_a_mark(build_py: Build) -> None:
    source = """class A:
    made = 0
    def __init__(self, n=0):
        self.n = n
    def next(self):
        self.__class__.made += 1
        print(type(self).__name__)
        return type(self)(self.n + 1)
print(A().next().n, A().__dict__)
"""
    text = (await build_py(source)).rewritten
    assert "type(marked_(self))(self.n + 1)" in text
    assert "marked_(self).__class__.made += 1" in text
    assert "marked_(A()).__dict__" in text
    assert "print(type(self).__name__)" in text
