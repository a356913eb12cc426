"""Refuses what a board refuses of files that import each other: a name that is read before its file has bound it.

It follows the imports that surely run, in their order. The bundle itself would run: there such a name needs no reading.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from microclaw.programs.py.linking import Linker
from microclaw.programs.py.source import Findings
from microclaw.programs.py.source_files import ImportNode, imports_of
from microclaw.programs.py.units import PROGRAM, ImportedName, Unit

# What is in them may run later, or never. A class body and a `with` run at once.
_NOT_AT_ONCE: Final = (
    *(ast.If, ast.For, ast.While, ast.Try, ast.Match),
    *(ast.IfExp, ast.BoolOp, ast.Lambda, ast.GeneratorExp),
)


def refuse_early_reads(units: dict[str, Unit], linker: Linker, findings: Findings) -> None:
    """Find the names that a module reads of a module that imports it, and that is not there yet."""
    _Order(units, linker, findings).run(units[PROGRAM])


class _Order:
    """The modules in the order in which a board runs them."""

    def __init__(self, units: dict[str, Unit], linker: Linker, findings: Findings) -> None:
        self._units = units
        self._linker = linker
        self._findings = findings
        self._begun: set[str] = set()
        # The modules that have begun and not ended, each imported by the one before it, with their names so far.
        self._running: dict[str, set[str]] = {}
        self._unsure: set[str] = set()
        for unit in units.values():
            self._add_unsure(unit)

    def run(self, unit: Unit) -> None:
        """Follow the statements of a unit, and the modules that it imports."""
        self._begun.add(unit.key)
        names: set[str] = set()
        self._running[unit.key] = names
        bound = _names_by_statement(unit)
        for statement in unit.tree.body:
            for node in _nodes_at_once(statement):
                self._follow(node, unit)
            names.update(bound.get(statement, ()))
        del self._running[unit.key]

    def _follow(self, node: ast.AST, unit: Unit) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for key in self._linker.keys_of(node, unit):
                if key not in self._begun:
                    self.run(self._units[key])
        if isinstance(node, ast.ImportFrom) and not _was_star(node):
            for _, named in self._linker.members(node, unit) or ():
                self._check(node, named, unit)
        named = unit.links.nodes.get(node)
        if named is None or not isinstance(node, ast.Name | ast.Attribute):
            return
        if isinstance(node.ctx, ast.Load):
            self._check(node, named, unit)
        elif named.module in self._running and named.name is not None:
            self._running[named.module].add(named.name)

    def _check(self, node: ast.AST, named: ImportedName | None, unit: Unit) -> None:
        """Refuse a name that its module has not bound yet."""
        if named is None or named.name is None or named.module == unit.key:
            return
        names = self._running.get(named.module)
        if names is None or named.name in names:
            return
        running = [*self._running]
        circle = running[running.index(named.module) :]
        if self._unsure.intersection(circle):
            return
        *titles, last_title = [self._units[key].title for key in circle]
        message = (
            f"{', '.join(titles)} and {last_title} import each other: "
            f"{named.name} is not there yet when {unit.title} reads it"
        )
        hint = f"move {named.name} into a file that both import, or read it in a function: {named.module}.{named.name}"
        self._findings.error(node, message, hint)

    def _add_unsure(self, unit: Unit) -> None:
        """Add what a unit imports in a function or an `if`, and what that imports: their order is unknown."""
        at_once: set[ast.AST] = set()
        for statement in unit.tree.body:
            at_once.update(_nodes_at_once(statement))
        for node in imports_of(unit.tree):
            if node not in at_once:
                self._add_reached(node, unit)

    def _add_reached(self, node: ImportNode, unit: Unit) -> None:
        for key in self._linker.keys_of(node, unit):
            if key not in self._unsure:
                self._unsure.add(key)
                for inner in imports_of(self._units[key].tree):
                    self._add_reached(inner, self._units[key])


def _nodes_at_once(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what surely runs when a statement does: nothing of a function's body, and no annotation."""
    yield node
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            children: list[ast.AST | None] = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]
        case ast.AnnAssign():
            children = [node.value]
        case _ if isinstance(node, _NOT_AT_ONCE):
            return
        case _:
            children = [*ast.iter_child_nodes(node)]
    for child in children:
        if child is not None:
            yield from _nodes_at_once(child)


def _names_by_statement(unit: Unit) -> dict[ast.AST, list[str]]:
    """Return the names that each statement of a text binds."""
    names: dict[ast.AST, list[str]] = {}
    for name, bindings in unit.bindings.items():
        for binding in bindings:
            statement = binding.node
            while unit.scopes.parents.get(statement) not in (unit.tree, None):
                statement = unit.scopes.parents[statement]
            names.setdefault(statement, []).append(name)
    return names


def _was_star(node: ast.ImportFrom) -> bool:
    """Return True for what was `import *`, which brings only what is there: bundle.py gave its names its own place."""
    return not node.names or node.names[0].col_offset == node.col_offset
