"""Puts the drivers of parts into the program that imports them, before anything checks it. Judges no other import.

A driver is hardware/parts/NAME/python/MODULE.py, or the part's reading.py for a driver beside it. Its statements go to
the top of the program: one file, one hash, the same checks, and no more rights than the program has. A name of a driver
gets the module's name in front where the program or another driver has that name. Nodes of a driver have the line of
the program's import as a negative number (source.py).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from microclaw.programs.py.callgraph import is_none
from microclaw.programs.py.drivers import (
    DriverName,
    driver_file,
    driver_imports,
    driver_key,
    driver_text,
    imported_name,
    part_of,
)
from microclaw.programs.py.formats import Simplifier
from microclaw.programs.py.scopes import Binding, Scopes
from microclaw.programs.py.source import Findings

_LOOKUPS: Final = frozenset({"getattr", "hasattr", "dir", "vars"})
"""Functions to which an attribute's name may be given."""
_PASSIVE_BASES: Final = frozenset({"object", "FrameBuffer", "Exception"})
"""Native classes that call no method of a class that inherits from them."""
_TESTS: Final = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.If, ast.IfExp, ast.While)


class Unit(Struct, eq=False):
    """The program or a driver. `part` is a driver's part, `given` its names in the bundle by their names in it.

    `links`: what each node is that stands for something of another driver. `kept`: imports whose name the text also
    sets to something else, so that it stays a variable.
    """

    tree: ast.Module
    scopes: Scopes
    part: Path | None = None
    given: dict[str, str] = field(default_factory=dict)
    links: dict[ast.AST, DriverName] = field(default_factory=dict)
    kept: set[tuple[ast.AST, str]] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        """What a driver offers: its own definitions, without those that begin with _."""
        names = []
        for name, bindings in self.scopes.module.bindings.items():
            is_import = any(binding.kind == "import" for binding in bindings)
            if not is_import and not name.startswith("_"):
                names.append(name)
        return names


class DriverBundle:
    """A program with the drivers that it imports; what it cannot have of them goes to the findings.

    After it is made, `import *` of a driver in the program names what the program uses of it.
    """

    def __init__(self, tree: ast.Module, findings: Findings) -> None:
        self._findings = findings
        # Each after those that it imports.
        self.drivers: dict[str, Unit] = {}
        # The program's statement that imports the driver, also through another driver.
        self.places: dict[str, ast.stmt] = {}
        self._program: Unit | None = None
        has_drivers = any(driver_imports(tree, None))
        if has_drivers:
            self._program = self.read(tree, None)

    def joined(self) -> ast.Module | None:
        """Return one text of the program and its drivers, or None if it imports none."""
        if self._program is None:
            return None
        self.choose_names(self._program)
        for unit in (*self.drivers.values(), self._program):
            _Renamer(unit, self.drivers).visit(unit.tree)
        body: list[ast.stmt] = []
        for module, unit in self.drivers.items():
            for statement in unit.tree.body:
                body += _mark_lines(statement, self.places[module])
        program = self._program.tree
        return ast.Module([*needed_statements(body, program), *program.body], [])

    def read(self, tree: ast.Module, part: Path | None, place: ast.stmt | None = None) -> Unit:
        """Return a text with its links, after reading the drivers that it imports."""
        imports = list(driver_imports(tree, part))
        for node, path in imports:
            module = driver_key(path)
            if module not in self.places:
                self.places[module] = place or node
                driver = ast.parse(driver_text(path))
                driver = Simplifier(driver).visit(driver)
                self.drivers[module] = self.read(driver, part_of(path), place or node)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node, path in imports:
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                names = sorted(used.intersection(self.drivers[driver_key(path)].names))
                node.names = [ast.alias(name) for name in names]
        unit = Unit(tree, Scopes(tree), part)
        if imports:
            self._link(unit)
        return unit

    def choose_names(self, program: Unit) -> None:
        """Give every name of a driver its name in the bundle: its own, unless another text has the same.

        A driver chooses before those that it imports: its classes are what a program shows.
        """
        taken = set(_identifiers(program))
        for unit in self.drivers.values():
            taken.update(name for name in _identifiers(unit) if name not in unit.scopes.module.bindings)
        for module, unit in reversed(self.drivers.items()):
            for name in unit.scopes.module.bindings:
                given = name
                while given in taken:
                    given = f"_{module.rpartition('.')[2]}_{given}"
                unit.given[name] = given
                taken.add(given)

    def _link(self, unit: Unit) -> None:
        for node in unit.scopes.of:
            match node:
                case ast.ImportFrom():
                    self._check_names(unit, node)
                case ast.Name():
                    self._link_name(unit, node)
                case _:
                    continue

    def _check_names(self, unit: Unit, node: ast.ImportFrom) -> None:
        path = driver_file(node.module or "", unit.part)
        if path is None or node.level:
            return
        for alias in node.names:
            self._has(DriverName(driver_key(path), alias.name), node)

    def _has(self, named: DriverName, node: ast.AST) -> bool:
        """Return True if the driver has that name; else it goes to the findings."""
        names = self.drivers[named.module].names
        if named.name in names:
            return True
        module = named.module.rpartition(".")[2]
        self._findings.error(node, f"the driver {module} has no {named.name}", f"it has {', '.join(sorted(names))}")
        return False

    def _link_name(self, unit: Unit, node: ast.Name) -> None:
        bindings = unit.scopes.bindings(node)
        brought = []
        others = []
        for binding in bindings:
            driver_name = imported_name(binding, node.id, unit.part)
            if driver_name is None:
                others.append(binding)
            else:
                brought.append(driver_name)
        if not brought:
            return
        is_single = len(set(brought)) == 1
        has_module = any(named.name is None for named in brought)
        clashing = [binding for binding in others if not is_none(binding.value)]
        if has_module and (clashing or not is_single):
            imported = next(binding for binding in bindings if binding.kind == "import")
            other = (clashing or bindings[1:])[0]
            self._findings.refuse_two_meanings(node.id, imported.node, other.node)
        elif has_module:
            self._link_module(unit, node, brought[0], is_optional=bool(others))
        elif is_single and not others:
            unit.links[node] = brought[0]
        if others or not is_single:
            unit.kept.update((binding.node, node.id) for binding in bindings if binding.kind == "import")

    def _link_module(self, unit: Unit, node: ast.Name, module: DriverName, *, is_optional: bool) -> None:
        parent = unit.scopes.parents.get(node)
        if isinstance(parent, ast.Attribute):
            named = DriverName(module.module, parent.attr)
            if not isinstance(parent.ctx, ast.Load):
                hint = "keep the value in a variable of your own"
                self._findings.error(node, f"a program cannot change {ast.unparse(parent)}", hint)
            elif self._has(named, parent):
                unit.links[parent] = named
            return
        is_set = not isinstance(node.ctx, ast.Load)
        if is_optional and (is_set or isinstance(parent, _TESTS)):
            return
        name = self.drivers[module.module].names[0]
        hint = f"name what you need of it: {node.id}.{name}"
        self._findings.error(node, f"the driver {node.id} is used as a value", hint)


def _identifiers(unit: Unit) -> Iterator[str]:
    """Yield the names in a text that stay in it: not those that stand for something of a driver."""
    for node in ast.walk(unit.tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                if node not in unit.links:
                    yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ExceptHandler(name=str(name)):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    name = alias.asname or alias.name
                    is_driver = imported_name(Binding("import", node), name, unit.part) is not None
                    if not is_driver or (node, name) in unit.kept:
                        yield name
            case _:
                continue


class _Renamer(ast.NodeTransformer):
    """Gives every name of a text its name in the bundle; the imports of drivers go."""

    def __init__(self, unit: Unit, drivers: dict[str, Unit]) -> None:
        self._unit = unit
        self._drivers = drivers
        self._module = unit.scopes.module

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node in self._unit.links:
            return ast.copy_location(ast.Name(self._target(self._unit.links[node]), node.ctx), node)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node in self._unit.links:
            node.id = self._target(self._unit.links[node])
        else:
            node.id = self._given(node, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        node.name = self._given(node, node.name)
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = visit_FunctionDef

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._unit.given.get(name, name) for name in node.names]
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            name = alias.asname or alias.name
            if driver_file(alias.name, self._unit.part) is None:
                alias.asname = self._as(node, name, alias.name)
                statements.append(ast.Import([alias]))
            elif (node, name) in self._unit.kept:
                # The name is also set to None: what asks for it gets something else here.
                statements.append(self._assign(node, name, ast.Constant(value=True)))
        return _located(statements, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        path = driver_file(node.module or "", self._unit.part)
        statements: list[ast.stmt] = []
        for alias in node.names:
            name = alias.asname or alias.name
            if path is None or node.level:
                alias.asname = self._as(node, name, alias.name)
                statements.append(ast.ImportFrom(node.module, [alias], node.level))
            elif (node, name) in self._unit.kept:
                value = ast.Name(self._target(DriverName(driver_key(path), alias.name)), ast.Load())
                statements.append(self._assign(node, name, value))
        return _located(statements, node)

    def _target(self, named: DriverName) -> str:
        assert named.name is not None
        return self._drivers[named.module].given.get(named.name, named.name)

    def _given(self, node: ast.AST, name: str) -> str:
        """Return the bundle's name for one of the module; a name of a function or class stays."""
        scope = self._unit.scopes.of.get(node)
        # An annotation of viper code is in no scope: there it names a type.
        if scope is None:
            return name
        owner = scope.find(name)
        if owner is None or owner[0] is not self._module:
            return name
        return self._unit.given.get(name, name)

    def _assign(self, node: ast.AST, name: str, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Name(self._given(node, name), ast.Store())], value)

    def _as(self, node: ast.AST, name: str, imported: str) -> str | None:
        given = self._given(node, name)
        if given == imported:
            return None
        return given


def _located(statements: Sequence[ast.stmt], node: ast.stmt) -> list[ast.stmt]:
    """Return the statements at the place of another; a `pass` if there are none."""
    located = []
    for statement in statements or [ast.Pass()]:
        ast.copy_location(statement, node)
        located.append(ast.fix_missing_locations(statement))
    return located


def _mark_lines(statement: ast.stmt, place: ast.stmt) -> list[ast.stmt]:
    """Give a driver's statement the line of the import; nothing is left of a docstring or `pass`."""
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    if is_text or isinstance(statement, ast.Pass):
        return []
    for node in ast.walk(statement):
        if hasattr(node, "lineno"):
            ast.copy_location(node, place)
            node.lineno = -place.lineno
    return [statement]


def needed_statements(statements: list[ast.stmt], program: ast.Module) -> list[ast.stmt]:
    """Return the statements of drivers without the definitions that nothing uses; their classes lose such methods."""
    needed = set(_used(program))
    waiting: list[ast.stmt] = []
    methods: list[tuple[ast.ClassDef, ast.stmt]] = []
    class_names = {statement.name for statement in (*statements, *program.body) if isinstance(statement, ast.ClassDef)}
    for statement in statements:
        waiting.append(statement)
        if isinstance(statement, ast.ClassDef) and _has_known_bases(statement, class_names):
            values = _values_of_body(statement)
            methods += [(statement, method) for method in statement.body if _is_movable(method, values)]
    for owner, method in methods:
        owner.body.remove(method)
    unused = _without_used(waiting, needed)
    while methods:
        reached = [(owner, method) for owner, method in methods if _is_reached(owner, method, unused, needed)]
        if not reached:
            break
        for owner, method in reached:
            methods.remove((owner, method))
            owner.body.append(method)
            needed.update(_used(method))
        unused = _without_used(unused, needed)
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and not statement.body:
            statement.body = _located((), statement)
    return [statement for statement in statements if statement not in unused]


def _without_used(statements: list[ast.stmt], needed: set[str]) -> list[ast.stmt]:
    """Return the definitions that nothing uses, and add what the other statements use to `needed`."""
    waiting = list(statements)
    is_growing = True
    while is_growing:
        is_growing = False
        for statement in list(waiting):
            defined = _defined(statement)
            if defined is None or defined in needed:
                waiting.remove(statement)
                needed.update(_used(statement))
                is_growing = True
    return waiting


def _is_reached(owner: ast.ClassDef, method: ast.stmt, unused: Sequence[ast.stmt], needed: set[str]) -> bool:
    """Return True if the class of a method is used, and some text has its name or may look it up by any name."""
    is_named = f".{_defined(method)}" in needed or not needed.isdisjoint(_LOOKUPS)
    return is_named and owner not in unused


def _has_known_bases(defined: ast.ClassDef, class_names: Collection[str]) -> bool:
    """Return True if no native class calls the methods of a class by their names."""
    for base in defined.bases:
        name = ast.unparse(base).rpartition(".")[2]
        if name not in class_names and name not in _PASSIVE_BASES:
            return False
    return True


def _values_of_body(defined: ast.ClassDef) -> set[str]:
    """Return the names that the body of a class uses while it runs, such as `_get` in `level = property(_get)`."""
    names: set[str] = set()
    for statement in defined.body:
        nodes: list[ast.AST] = [statement]
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes = [*statement.decorator_list, *statement.args.defaults]
            nodes += [default for default in statement.args.kw_defaults if default is not None]
        for node in nodes:
            names.update(name for name in _used(node) if not name.startswith("."))
    return names


def _is_movable(statement: ast.stmt, values: Collection[str]) -> bool:
    """Return True for a method that may stand at the end of its class, or be left out if nothing calls it."""
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not statement.name.startswith("__") and statement.name not in values


def _defined(statement: ast.stmt) -> str | None:
    """Return the name that a statement only defines, or None if it does anything else."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.Import(names=[alias]) | ast.ImportFrom(names=[alias]):
            return alias.asname or alias.name
        case _:
            return None


def _used(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a text uses, those of attributes with a point; a text may be the name of an attribute."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                yield name
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield f".{name}"
            case _:
                continue
