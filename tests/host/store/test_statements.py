"""Every statement of the source is one of PostgreSQL, too: it is planned there, with the store's tables.

Those that a function makes of what it is given are not among them: the suites run them on both.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from msgspec import Struct

import microclaw
from microclaw.host.store.postgres_dialect import translate_placeholders
from microclaw.host.store.rows import RowTable, columns

SOURCE: Final = Path(microclaw.__file__).parent
OF_ONE_ENGINE: Final = ("host/store/notes.py", "host/store/postgres_connection.py", "host/cluster/migration.py")
VERBS: Final = r"WITH|SELECT|(INSERT|REPLACE)( OR \w+)? INTO|UPDATE( OR \w+)? \w+\s+SET|DELETE FROM"


def statements() -> Iterator[tuple[str, Any]]:
    """Yield each statement with its place."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        text = path.read_text(encoding="utf-8")
        if name in OF_ONE_ENGINE or not re.search(r"microclaw\.host\.store\.(sql|rows) import", text):
            continue
        module = importlib.import_module(f"microclaw.{name.removesuffix('.py').replace('/', '.')}")
        for constant in vars(module).values():
            yield from ((name, one) for one in (constant if isinstance(constant, tuple) else (constant,)))
            if isinstance(constant, type) and issubclass(constant, RowTable) and hasattr(constant, "_key"):
                where = f"{constant._name} WHERE {constant._key} = ? ORDER BY {constant._order}"
                yield name, selecting(constant._kind, where)
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from ((f"{name}:{line}", one) for line, one in of_function(function, dict(vars(module))))


def of_function(function: ast.AST, known: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    parts = {id(part) for whole in ast.walk(function) if isinstance(whole, ast.JoinedStr) for part in whole.values}
    nodes = (node for node in ast.walk(function) if isinstance(node, ast.expr | ast.Assign) and id(node) not in parts)
    for node in sorted(nodes, key=lambda node: node.lineno):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant() | ast.JoinedStr() as text):
                known[name] = evaluated(text, known)
            case ast.Constant() | ast.JoinedStr():
                yield node.lineno, evaluated(node, known)
            case ast.Call(func=ast.Name("select" | "first"), args=[_, kind, rest, *_]):
                yield node.lineno, selecting(evaluated(kind, known), evaluated(rest, known))
            case ast.Call(func=ast.Name("update" | "delete" | "exists" as form), args=[_, ast.Constant(table), *where]):
                yield node.lineno, changing(form, str(table), where, [key.arg for key in node.keywords if key.arg])


def changing(form: str, table: str, where: list[ast.expr], names: list[str]) -> str:
    """The text that rows.py makes of it; of a condition that has a name of its own, without that."""
    keys = [key for one in where if isinstance(one, ast.Dict) for key in one.keys]
    if form == "update":
        known = [str(key.value) for key in keys if isinstance(key, ast.Constant)]
    else:
        known = names
    condition = " AND ".join(f"{name} = ?" for name in known) or "true"
    if form != "update" or not names:
        return f"DELETE FROM {table} WHERE {condition}"
    return f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in names)} WHERE {condition}"


def selecting(kind: Any, rest: object) -> str | None:
    if isinstance(kind, type) and issubclass(kind, Struct) and rest is not None:
        return f"SELECT {columns(kind)} FROM {rest}"
    return None


def evaluated(node: ast.expr, known: dict[str, Any]) -> Any:
    """None where it is made of what the function is given."""
    try:
        names = {name: value for name, value in known.items() if value is not None}
        return eval(compile(ast.Expression(node), "", "eval"), names)
    except (NameError, AttributeError, TypeError):
        return None


def test_every_statement_is_one_of_postgresql_too(database_url: str) -> None:
    found = {(where, sql) for where, sql in statements() if isinstance(sql, str) and re.match(rf"\s*({VERBS})\s", sql)}
    wrong = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        for where, sql in sorted(found):
            try:
                connection.execute(
                    "EXPLAIN " + re.sub(r"%s|%\(\w+\)s", "'1'", translate_placeholders(sql)[0]), prepare=False
                )
            except psycopg.Error as exc:
                wrong.append(f"{where}: {exc}: {sql}")
    assert len(found) > 250
    assert not wrong, "\n".join(wrong)
