"""Every name that the check of Python lets pass is there when the program runs in a trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.boards.reader import load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.py.compile import build

# What stands for a name that a program writes only so: a decorator, a call that the build rewrites, a viper type.
WRITTEN_AS = {
    "micropython.native": "",  # the test below
    "micropython.viper": "",
    "micropython.bytecode": "@micropython.bytecode\ndef plain():\n    pass",
    "asyncio.get_event_loop": "asyncio.get_event_loop()",
    "asyncio.new_event_loop": "asyncio.new_event_loop()",
    "builtins.uint": "",
    "builtins.const": "LIMIT = const(5)",
    "builtins.getattr": "getattr(machine, 'Pin')",
    "builtins.setattr": "setattr(microclaw, 'mine', 1)",
    "builtins.delattr": "delattr(mine, 'name')",
    "builtins.type": "type(5)",
}


NAMES_A_PROGRAM = 140


def names_of(chip: str) -> list[str]:
    """Every name of the list that no check refuses for this chip, with its module."""
    stock = stock_image()
    lacking = stock.lacking.get(chip, frozenset())
    tables = {**stock.modules, **stock.members, "builtins": stock.builtins}
    names: list[str] = []
    for owner, members in sorted(tables.items()):
        if owner in stock.refused or owner.rpartition(".")[2] in lacking:
            continue
        names += [f"{owner}.{name}" for name in sorted(members - lacking) if f"{owner}.{name}" not in stock.refused]
    return names


def line_of(name: str) -> str:
    """Return the lines that use the name as a program may; a name that is not there is printed."""
    use = WRITTEN_AS.get(name, name.removeprefix("builtins."))
    body = "\n".join(f"    {line}" for line in use.splitlines() or ["pass"])
    return f"try:\n{body}\nexcept (AttributeError, NameError):\n    print('{name}')\n"


@pytest.mark.parametrize("board_id", ["esp32-devkitc-v4", "virtual", "esp32-c3-devkitm-1", "esp32-c6-devkitc-1"])
async def test_each_name_that_the_check_lets_pass_is_there_or_the_trial_says_that_it_has_none(
    board_id: str, tmp_path: Path
) -> None:
    board = load_board(board_id)
    stock = stock_image()
    imports = "".join(f"import {module}\n" for module in sorted(stock.modules) if module not in stock.refused)
    names = names_of(board.chip.upper())
    lacking: list[str] = []
    told = ""
    for begin in range(0, len(names), NAMES_A_PROGRAM):
        lines = "".join(map(line_of, names[begin : begin + NAMES_A_PROGRAM]))
        image = await build(f"{imports}{lines}", "names", board=board, cache=BuildCache(tmp_path))
        trial = await try_image(image, board, TrialOptions(for_ms=500))
        assert trial.ok, trial.error
        lacking += trial.log
        told += " ".join(trial.warnings)
    assert [name for name in lacking if f"no {name}" not in told] == []
    assert len(lacking) <= 14


async def test_native_code_is_untried_as_only_its_chip_runs_it(tmp_path: Path) -> None:
    source = "import micropython\n@micropython.viper\ndef twice(n: uint) -> uint:\n    return n * 2\nprint(twice(2))\n"
    board = load_board("virtual")
    image = await build(source, "native", board=board, cache=BuildCache(tmp_path))
    trial = await try_image(image, board, TrialOptions(for_ms=500))
    assert trial.ok, trial.error
    assert "native code" in (trial.untried or "")


async def test_a_refused_name_may_be_imported_if_nothing_uses_it(tmp_path: Path) -> None:
    stock = stock_image()
    lines = []
    for origin in sorted(stock.refused):
        module, _, name = origin.partition(".")
        if name in stock.modules.get(module, ()):
            lines.append(f"from {module} import {name}\n")
    assert len(lines) > 20
    board = load_board("virtual")
    image = await build("".join([*lines, "print('runs')\n"]), "imports", board=board, cache=BuildCache(tmp_path))
    trial = await try_image(image, board, TrialOptions(for_ms=500))
    assert list(trial.log) == ["runs"], trial.error
