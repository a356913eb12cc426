"""wire/ turns bytes into messages and does nothing else: time, randomness and transports come in as arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import microclaw.wire

MODULES = {
    "aiohttp", "asyncio", "fcntl", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time",
}  # fmt: skip
CALLS = {"open", "print", "input", "exec", "eval"}


def io_of(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names} & MODULES
            case ast.ImportFrom(module="io", names=[ast.alias(name="BytesIO")]):
                pass  # bytes in memory
            case ast.ImportFrom(module=module):
                found |= {(module or "").split(".")[0]} & MODULES
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                found.add(name)
    return found


def test_wire_does_no_io() -> None:
    assert io_of("from asyncio import Queue\nimport os.path, json\nopen('x')") == {"asyncio", "os", "open"}
    for file in Path(microclaw.wire.__path__[0]).rglob("*.py"):
        assert io_of(file.read_text()) == set(), file.name
