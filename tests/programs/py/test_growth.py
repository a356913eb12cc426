"""A Python program that is twice as long takes about twice the steps to check, and files of its own take few more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

import pytest

from microclaw.hardware.boards.reader import load_board
from microclaw.programs.py.py_image import ProgramQuestion
from microclaw.programs.py.reader import answer
from microclaw.programs.py.source_files import join_files

COUNT: Final = 80
MOST_GROWTH: Final = 2.2
MOST_OF_FILES: Final = 1.5
HEAD: Final = (
    "import socket\nimport time\nfrom machine import Pin\nsock = socket.socket()\nled = Pin(4, Pin.OUT)\nn = 4\n"
    "class A:\n    pass\na = A()\nb = led\n"
)
SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "name": lambda i: f"n = {4 + i % 2}\nled = Pin(n, Pin.OUT)\nled.on()\n",
    "names of each other": lambda _: "led = b\nb = led\nled.on()\n",
    "attribute": lambda i: f"a.led = Pin({4 + i % 2}, Pin.OUT)\na.led.on()\n",
    "tuple": lambda _: "n, led = 4, led\nled.on()\n",
    "lambda": lambda _: "f = lambda x: time.sleep(x)\nf(1)\n",
    "decorated": lambda i: f"def d(f):\n    return f\n@d\ndef f{i}():\n    time.sleep(1)\nf{i}()\n",
    "same method": lambda i: f"class C{i}:\n    def run(self):\n        time.sleep(1)\ndef f{i}(x):\n    x.run()\n",
    "address": lambda i: f"host = 'h{i}.example.org'\nport = {i + 1}\nsock.connect((host, port))\nsock.read(5)\n",
    "addresses": lambda i: (
        f"place = ('h{i}.example.org', {i + 1})\nother = place\nplace = other\nsock.connect(place)\n"
    ),
    "generator": lambda i: f"def g{i}():\n    time.sleep_ms(n)\n    yield 1\n",
}


def count_calls(text: str) -> int:
    """Return the number of calls in the check of a program."""
    count = 0

    def add(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal count
        count += 1

    question = ProgramQuestion(text, "app", load_board("virtual"))
    sys.setprofile(add)
    try:
        answer(question)
    finally:
        sys.setprofile(None)
    return count


def program(shape: str, count: int) -> str:
    return HEAD + "".join(map(SHAPES[shape], range(count)))


@pytest.fixture(scope="module", autouse=True)
def tables() -> None:
    """Have the tables of parts and boards read, which a first check does."""
    count_calls(HEAD)


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_program_takes_twice_the_steps(shape: str) -> None:
    assert count_calls(program(shape, 2 * COUNT)) < MOST_GROWTH * count_calls(program(shape, COUNT))


def test_ten_files_take_few_more_steps_than_one() -> None:
    def functions(number: int) -> str:
        return "".join(f"def f{number}_{i}(x):\n    led.on()\n    time.sleep(x)\n    return x\n" for i in range(20))

    files = {f"m{number}.py": HEAD + functions(number) for number in range(9)}
    imports = "".join(f"import m{number}\n" for number in range(9))
    one = HEAD + "".join(map(functions, range(10)))
    ten = join_files("main.py", HEAD + imports + functions(9), files)
    assert count_calls(ten) < MOST_OF_FILES * count_calls(one)
