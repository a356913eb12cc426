"""The modules that parts add to the files for boards."""

from __future__ import annotations

import ast

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.hardware.firmware_folder import part_modules
from microclaw.hardware.parts.reader import parts, quantities


def test_the_table_has_the_facts_of_every_part_with_a_reading() -> None:
    modules = part_modules()
    table = ast.parse(modules.pop("part_table")).body[1]
    assert isinstance(table, ast.Assign)
    rows = [row.split(" ") for row in ast.literal_eval(table.value)]
    assert {f"part_{name}" for name, _, _ in rows} == modules.keys()
    for name, addresses, fields in rows:
        part = parts()[name]
        assert part.i2c is not None
        assert tuple(map(int, addresses.split(","))) == part.i2c.addresses
        assert fields == ",".join(f"{quantity}={quantities()[quantity].reading}" for quantity in part.measures)


def test_every_reading_has_a_function_read_and_needs_only_the_image() -> None:
    for name, source in part_modules().items():
        tree = ast.parse(source)
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert "read" in functions or name == "part_table"
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.module in stock_image().modules
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= stock_image().modules.keys()
