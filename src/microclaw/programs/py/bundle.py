"""Puts modules into the program that imports them, before anything checks it: its own files, and the drivers of parts.

One text, one hash, the same checks, and no more rights than the program has. The code of a module stands where it is
first imported. A name gets the module's word in front where another text has it. Nodes of a driver have the line of the
program's import as a negative number (source.py).
linking.py finds what an imported name means, bundle_names.py chooses its name.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from microclaw.programs.py.bundle_names import board_origin, choose_names
from microclaw.programs.py.cycles import refuse_early_reads
from microclaw.programs.py.formats import used_words
from microclaw.programs.py.linking import Linker
from microclaw.programs.py.scopes import Scopes
from microclaw.programs.py.source import Findings
from microclaw.programs.py.source_files import ImportNode, imports_of
from microclaw.programs.py.units import PROGRAM, ImportedName, ModuleSource, Unit
from microclaw.programs.py.unused import computes, leave_out_unused, only_defines

_EARLY: Final = "move the import to the top of the file, or put what the module does into a function"


class Joined(Struct):
    """The one text that a program and its modules became.

    `origins`: the dotted names, as imports have them, of what the modules define, by their names in the text.
    `left_out`: definitions of the program's modules that nothing uses, as "lib/ht16.py: bits".
    """

    tree: ast.Module
    origins: dict[str, str]
    left_out: list[str]


class Bundle:
    """A program with the modules of one source that it imports; the findings get an error for what it cannot use.

    After it is made, `import *` of a module in the program names what the program uses of it.
    """

    def __init__(self, tree: ast.Module, modules: ModuleSource, findings: Findings) -> None:
        self._findings = findings
        self._modules = modules
        self._program = Unit(PROGRAM, tree, Scopes(tree))
        # Each module after those that it imports, unless they import each other.
        self._units: dict[str, Unit] = {}
        self._begun: dict[str, Unit] = {PROGRAM: self._program}
        self._linker = Linker(self._begun, modules, findings)
        self._imports: dict[str, list[tuple[ImportNode, list[str]]]] = {}
        self._import_counts: Counter[str] = Counter()
        self._read_imports(self._program, None)
        # Any text may use what another brings.
        self._name_stars()

    @property
    def scopes(self) -> Scopes:
        """The scopes of the program itself."""
        return self._program.scopes

    @property
    def is_empty(self) -> bool:
        """True if the program imports none of the modules."""
        return not self._units

    def joined(self, *, is_trimmed: bool = False) -> Joined:
        """Return the program and its modules as one text; `is_trimmed` leaves unused definitions of all modules out."""
        self._linker.link()
        refuse_early_reads(self._begun, self._linker, self._findings)
        if self._findings.errors:
            return Joined(self._program.tree, {}, [])
        choose_names([self._program, *reversed(self._units.values())], self._linker)
        self._place_all(self._program, {PROGRAM})
        writer = _Writer(self._begun, self._linker)
        tree = ast.Module(writer.statements(self._program), [])
        removable = list(writer.drivers)
        if is_trimmed:
            removable += filter(only_defines, writer.definitions)
        left_out = []
        for statement in leave_out_unused(tree, removable):
            file = writer.files.get(statement)
            if file is not None:
                left_out.append(f"{file}: {getattr(statement, 'name', ast.unparse(statement))}")
        return Joined(tree, self._origins(), left_out)

    def _read_imports(self, unit: Unit, place: ast.stmt | None) -> None:
        """Read the units that a text imports, and those that they import."""
        imports = []
        for node in imports_of(unit.tree):
            keys = self._linker.keys_of(node, unit)
            if keys:
                imports.append((node, keys))
            for key in keys:
                if key not in self._begun:
                    module = self._modules.read(key, place or node)
                    self._begun[key] = module
                    self._read_imports(module, place or node)
                    self._units[key] = module
            self._import_counts.update(keys)
        self._imports[unit.key] = imports

    def _name_stars(self) -> None:
        """Name what each `import *` brings of its module: of all names those that some text uses.

        What a module itself imports from the board is left out where its importer has the same: it is no other value.
        """
        units = [*self._units.values(), self._program]
        trees = []
        for unit in units:
            trees.append(unit.tree)
        used = used_words(trees)
        for unit in units:
            stars = []
            for node, keys in self._imports[unit.key]:
                if _is_star(node):
                    stars.append((node, self._begun[keys[-1]]))
            if stars:
                self._name_stars_of(unit, stars, used)
                unit.scopes = Scopes(unit.tree)

    def _name_stars_of(self, importer: Unit, stars: Sequence[tuple[ImportNode, Unit]], used: set[str]) -> None:
        natives: dict[str, str | None] = {}
        for name in importer.bindings:
            natives[name] = board_origin(importer, name)
        for node, module in stars:
            node.names = []
            for name in sorted(used.intersection(module.public_names(self._findings))):
                origin = board_origin(module, name)
                if origin is None or natives.get(name) != origin:
                    node.names.append(ast.copy_location(ast.alias(name), node))
                natives.setdefault(name, origin)

    def _origins(self) -> dict[str, str]:
        origins = {}
        for unit in self._units.values():
            for name, bundle_name in unit.bundle_names.items():
                origins[bundle_name] = f"{unit.key}.{name}"
        return origins

    # Places

    def _place_all(self, unit: Unit, placed: set[str]) -> None:
        """Find the statement before which the code of each module runs: the first that imports it."""
        for node, keys in self._imports[unit.key]:
            for key in keys:
                if key in placed:
                    continue
                placed.add(key)
                module = self._begun[key]
                place = _direct_place(unit, node, is_only_import=self._import_counts[key] == 1)
                is_early = place is not node and not module.is_driver
                if is_early and any(map(_acts, module.tree.body)):
                    message = (
                        f"{module.title} runs before this line: an import in a function, an if or a try runs first"
                    )
                    self._findings.warn(node, message, _EARLY)
                unit.before.setdefault(place, []).append(key)
                self._place_all(module, placed)


class _Writer:
    """Writes the statements of the bundle, each module's where it is first imported."""

    def __init__(self, units: dict[str, Unit], linker: Linker) -> None:
        self._units = units
        self._linker = linker
        self.drivers: list[ast.stmt] = []
        self.definitions: list[ast.stmt] = []
        self.files: dict[ast.stmt, str] = {}

    def statements(self, unit: Unit) -> list[ast.stmt]:
        """Return the statements of a unit with those of the modules that it is the first to import."""
        renamer = _Renamer(unit, self._units, self._linker, self)
        statements: list[ast.stmt] = []
        for statement in unit.tree.body:
            statements += self.placed(unit, statement)
            statements += self._note(unit, _as_list(renamer.visit(statement)))
        return statements

    def placed(self, unit: Unit, place: ast.stmt) -> list[ast.stmt]:
        """Return the statements of the modules whose code runs before this statement."""
        statements: list[ast.stmt] = []
        for key in unit.before.pop(place, ()):
            statements += self.statements(self._units[key])
        return statements

    def _note(self, unit: Unit, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Note which statements may be left out if nothing uses them, and the file of each and of its methods."""
        if unit.is_driver:
            statements = _mark_lines(statements, unit)
            self.drivers += statements
        elif unit.key != PROGRAM:
            self.definitions += statements
            for statement in statements:
                for inner in (statement, *getattr(statement, "body", ())):
                    self.files[inner] = unit.file
        return statements


class _Renamer(ast.NodeTransformer):
    """Gives every name of a text its name in the bundle; the imports of its modules become their code."""

    def __init__(self, unit: Unit, units: dict[str, Unit], linker: Linker, writer: _Writer) -> None:
        self._unit = unit
        self._units = units
        self._linker = linker
        self._writer = writer

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        constant = self._unit.links.constants.get(node)
        if constant is not None:
            return ast.copy_location(ast.Constant(constant), node)
        named = self._unit.links.nodes.get(node)
        if named is None:
            return self.generic_visit(node)
        return ast.copy_location(ast.Name(self._target(named), node.ctx), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        constant = self._unit.links.constants.get(node)
        if constant is not None:
            return ast.copy_location(ast.Constant(constant), node)
        named = self._unit.links.nodes.get(node)
        if named is not None:
            node.id = self._target(named)
        else:
            node.id = self._given(node, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        node.name = self._given(node, node.name)
        self.generic_visit(node)
        outside = self._unit.links.globals.get(node)
        if outside is not None:
            names = set(map(self._target, outside))
            node.body.insert(0, ast.copy_location(ast.Global(sorted(names)), node))
        return node

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = visit_FunctionDef

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name is not None:
            node.name = self._given(node, node.name)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        names = []
        for name in node.names:
            names.append(self._unit.bundle_names.get(name, name))
        node.names = names
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        before = self._writer.placed(self._unit, node)
        keys = self._linker.keys_of(node, self._unit)
        statements: list[ast.stmt] = []
        for alias in node.names:
            module = alias.name
            if not alias.asname:
                module = alias.name.partition(".")[0]
            name = alias.asname or module
            is_of_board = module not in keys and not self._linker.keys_of(ast.Import([alias]), self._unit)
            if is_of_board:
                alias.asname = self._as(node, name, alias.name)
                statements.append(ast.Import([alias]))
            elif (node, name) in self._unit.links.copies:
                # The name is also set to None: what asks for it gets something else here.
                statements.append(self._assign(node, name, ast.Constant(value=True)))
        return [*before, *_located(statements, node)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        before = self._writer.placed(self._unit, node)
        members = self._linker.members(node, self._unit)
        statements: list[ast.stmt] = []
        for alias in node.names:
            if members is None:
                name = alias.asname or alias.name
                alias.asname = self._as(node, name, alias.name)
                statements.append(ast.ImportFrom(node.module, [alias], node.level))
        for alias, named in members or ():
            name = alias.asname or alias.name
            if named is None:
                # Its `try` catches that: linking.py refuses others.
                statements.append(ast.Raise(ast.Name("ImportError", ast.Load())))
            elif (node, name) in self._unit.links.copies:
                value: ast.expr = ast.Constant(value=True)
                if not named.is_module:
                    value = ast.Name(self._target(named), ast.Load())
                statements.append(self._assign(node, name, value))
        return [*before, *_located(statements, node)]

    def _target(self, named: ImportedName) -> str:
        assert named.name is not None
        return self._units[named.module].bundle_names.get(named.name, named.name)

    def _given(self, node: ast.AST, name: str) -> str:
        """Return the bundle's name for one of the module; a name of a function or class stays."""
        if self._unit.is_own(node, name):
            return self._unit.bundle_names.get(name, name)
        return name

    def _assign(self, node: ast.AST, name: str, value: ast.expr) -> ast.stmt:
        return ast.Assign([ast.Name(self._given(node, name), ast.Store())], value)

    def _as(self, node: ast.AST, name: str, imported: str) -> str | None:
        given = self._given(node, name)
        if given == imported:
            return None
        return given


def _is_star(node: ImportNode) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def _direct_place(unit: Unit, node: ImportNode, *, is_only_import: bool) -> ast.stmt:
    """Return the import itself if it always runs when its text does, else the statement of the text around it.

    A `try` may fail before the import. That matters only if something else imports the module too.
    """
    parents = unit.scopes.parents
    place: ast.AST = node
    is_direct = True
    parent = parents[place]
    while parent is not unit.tree:
        reached: list[ast.stmt] = []
        if isinstance(parent, ast.Try):
            reached = parent.body
        if not is_only_import:
            reached = reached[:1]
        is_direct = is_direct and place in reached
        place = parent
        parent = parents[place]
    if is_direct:
        return node
    assert isinstance(place, ast.stmt)
    return place


def _acts(statement: ast.stmt) -> bool:
    """Return True if a statement of a module may do more than define names."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return False
        case ast.If(test=test, body=body, orelse=orelse):
            return computes(test) or any(map(_acts, [*body, *orelse]))
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            inner = [*body, *orelse, *finalbody]
            for handler in handlers:
                inner += handler.body
            return any(map(_acts, inner))
        case _:
            return not only_defines(statement)


def _as_list(replacement: ast.AST | list[ast.stmt]) -> list[ast.stmt]:
    if isinstance(replacement, list):
        return replacement
    assert isinstance(replacement, ast.stmt)
    return [replacement]


def _located(statements: Sequence[ast.stmt], node: ast.stmt) -> list[ast.stmt]:
    """Return the statements at the place of another; a `pass` if there are none."""
    located = []
    for statement in statements or [ast.Pass()]:
        ast.copy_location(statement, node)
        located.append(ast.fix_missing_locations(statement))
    return located


def _mark_lines(statements: list[ast.stmt], unit: Unit) -> list[ast.stmt]:
    """Give a driver's statements the line of the import; nothing is left of a docstring or `pass`."""
    assert unit.place is not None
    marked = []
    for statement in statements:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if is_text or isinstance(statement, ast.Pass):
            continue
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                ast.copy_location(node, unit.place)
                node.lineno = -unit.place.lineno
        marked.append(statement)
    return marked
