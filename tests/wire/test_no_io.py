"""wire/ turns bytes into messages and does nothing else: time, randomness and transports come in as arguments."""

from __future__ import annotations

import ast
from pathlib import Path

import microclaw.wire

FORBIDDEN = {
    "aiohttp", "asyncio", "fcntl", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time",
}  # fmt: skip
FILES = sorted(Path(microclaw.wire.__path__[0]).rglob("*.py"))


def imported_modules(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if (node.module, [alias.name for alias in node.names]) == ("io", ["BytesIO"]):
                continue  # bytes in memory
            found.add((node.module or "").split(".")[0])
    return found


def test_wire_imports_no_io() -> None:
    assert len(FILES) >= 8
    offenders = {file.name: bad for file in FILES if (bad := imported_modules(file.read_text()) & FORBIDDEN)}
    assert offenders == {}


def test_wire_opens_no_file() -> None:
    for file in FILES:
        names = {
            n.func.id
            for n in ast.walk(ast.parse(file.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not names & {"open", "print", "input", "exec", "eval"}, file.name


def test_a_forbidden_import_would_be_found() -> None:
    assert imported_modules("from asyncio import Queue\nimport os.path, json") & FORBIDDEN == {"asyncio", "os"}
