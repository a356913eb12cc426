"""Finds what each name of a bundle's texts stands for: which unit its import leads to, and which name there.

`lamp.on` and `from lamp import on` are the name `on` of lamp itself, unless its value may change: then an import copies
it, as Python does. A module has no object at run time, so it cannot be stored in a variable.
"""

from __future__ import annotations

import ast
from typing import Final

from msgspec import Struct

from microclaw.programs.py.nodes import is_none
from microclaw.programs.py.scopes import IMPORT_ERRORS, Binding, Comprehension
from microclaw.programs.py.source import Findings
from microclaw.programs.py.source_files import absolute_module, wanted_modules
from microclaw.programs.py.units import PROGRAM, ImportedName, Links, ModuleSource, Unit

_TESTS: Final = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.If, ast.IfExp, ast.While)
_LOOKUPS: Final = frozenset({"getattr", "hasattr", "setattr", "delattr", "dir"})
_SHOWN_NAMES: Final = 12


class _Brought(Struct):
    """What the bindings of a name bring from other units, and the bindings that do anything else."""

    names: list[ImportedName]
    others: list[Binding]


class Linker:
    """Links the names of units (`Unit.links`); the findings get an error for what cannot be linked."""

    def __init__(self, units: dict[str, Unit], modules: ModuleSource, findings: Findings) -> None:
        self._units = units
        self._modules = modules
        self._findings = findings
        # (unit, name) that another unit sets.
        self._set_outside: set[tuple[str, str]] = set()

    def link(self) -> None:
        """Link all names of all units."""
        for unit in self._units.values():
            self._find_outside_sets(unit)
        for unit in self._units.values():
            # The first pass found meanings before it was known which names other units set.
            unit.links = Links()
        for unit in self._units.values():
            self._link_unit(unit)

    def _link_unit(self, unit: Unit) -> None:
        for scope in unit.scopes.by_node.values():
            for name, bindings in scope.bindings.items():
                self._meaning(unit, name, bindings)
        for node in unit.scopes.of:
            self._link_node(unit, node)

    def members(self, node: ast.ImportFrom, unit: Unit) -> list[tuple[ast.alias, ImportedName | None]] | None:
        """Return what each name of an import stands for; None if it imports from no unit."""
        base = absolute_module(node, unit.package)
        if base is None:
            return None
        members = [(alias, self._member(base, alias.name, unit)) for alias in node.names]
        is_of_unit = self._modules.find(base, unit) is not None
        if not is_of_unit and all(member is None for _, member in members):
            return None
        return members

    def keys_of(self, node: ast.Import | ast.ImportFrom, unit: Unit) -> list[str]:
        """Return the units whose code an import runs, packages before what is in them."""
        keys = []
        for module in wanted_modules(node, unit.package):
            key = self._modules.find(module, unit)
            if key is not None and key not in keys:
                keys.append(key)
        return keys

    def is_set_outside(self, unit: Unit, name: str) -> bool:
        """Return True if another unit sets or deletes a name of a unit."""
        return (unit.key, name) in self._set_outside

    # What a name is

    def _meaning(self, unit: Unit, name: str, bindings: list[Binding]) -> ImportedName | None:
        """Return what a name stands for that only imports bind; None for a variable."""
        if not bindings:
            return None
        key = id(bindings)
        if key not in unit.links.meanings:
            # For a name that is imported in a circle.
            unit.links.meanings[key] = None
            unit.links.meanings[key] = self._find_meaning(unit, name, bindings)
        return unit.links.meanings[key]

    def _find_meaning(self, unit: Unit, name: str, bindings: list[Binding]) -> ImportedName | None:
        brought = self._brought(unit, name, bindings)
        if not brought.names:
            return None
        first = brought.names[0]
        is_single = len(set(brought.names)) == 1
        if any(named.is_module for named in brought.names):
            clashing = _clashing(bindings, brought, is_single=is_single)
            if clashing is not None:
                imported = next(binding for binding in bindings if binding.kind == "import")
                self._findings.refuse_two_meanings(name, imported.node, clashing.node)
                return None
            if brought.others:
                unit.links.optional.add(id(bindings))
                self._keep(unit, name, bindings)
            return first
        is_set_outside = bindings is unit.bindings.get(name) and self.is_set_outside(unit, name)
        is_only_imported = is_single and not brought.others
        if is_only_imported and not is_set_outside and self._is_constant(first):
            return first
        self._keep(unit, name, bindings)
        return None

    def _keep(self, unit: Unit, name: str, bindings: list[Binding]) -> None:
        for binding in bindings:
            if binding.kind == "import":
                unit.links.copies.add((binding.node, name))

    def _brought(self, unit: Unit, name: str, bindings: list[Binding]) -> _Brought:
        brought = _Brought([], [])
        for binding in bindings:
            named = self._imported(binding, name, unit)
            if named is None:
                brought.others.append(binding)
            else:
                brought.names.append(named)
        return brought

    def _imported(self, binding: Binding, name: str, unit: Unit) -> ImportedName | None:
        """Return what a binding brings of another unit under a name, or None if it is anything else."""
        node = binding.node
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name
                if not alias.asname:
                    module = alias.name.partition(".")[0]
                if (alias.asname or module) == name:
                    key = self._modules.find(module, unit)
                    if key is not None:
                        return ImportedName(key)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_module(node, unit.package)
            for alias in node.names:
                if base is not None and (alias.asname or alias.name) == name:
                    return self._member(base, alias.name, unit)
        return None

    def _member(self, base: str, name: str, importer: Unit) -> ImportedName | None:
        """Return what a module has under a name: a name of its text, or a module in its folder."""
        key = self._modules.find(base, importer)
        if key is not None:
            return self._member_of(self._units[key], name)
        inner = self._modules.find(f"{base}.{name}", importer)
        if inner is None:
            return None
        return ImportedName(inner)

    def _member_of(self, unit: Unit, name: str) -> ImportedName | None:
        """Return what a unit has under a name: a name of its text, or a module in its folder."""
        inner = None
        if not unit.is_driver:
            inner = self._modules.find(f"{unit.key}.{name}", unit)
        # Python has no module there that nothing imports.
        if inner not in self._units:
            inner = None
        bindings = unit.bindings.get(name, [])
        kinds = {binding.kind for binding in bindings}
        if inner is not None and kinds <= {"import"}:
            return ImportedName(inner)
        if name not in unit.names:
            return None
        return self._meaning(unit, name, bindings) or ImportedName(unit.key, name)

    def _is_constant(self, named: ImportedName) -> bool:
        """Return True if a name has one value for good, so that a copy of it need not be told from it."""
        assert named.name is not None
        unit = self._units[named.module]
        bindings = unit.bindings[named.name]
        if len(bindings) != 1 or self.is_set_outside(unit, named.name):
            return False
        binding = bindings[0]
        if binding.kind not in ("def", "class", "value", "import"):
            return False
        return _runs_once(binding.node, unit)

    # Names that others set

    def _find_outside_sets(self, unit: Unit) -> None:
        for node in unit.scopes.of:
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                module = self._module_of(unit, node.value)
                if module is not None:
                    self._set_outside.add((module, node.attr))

    def _module_of(self, unit: Unit, node: ast.expr) -> str | None:
        """Return the unit that an expression stands for, or None."""
        named: ImportedName | None = None
        if isinstance(node, ast.Name):
            named = self._meaning(unit, node.id, unit.scopes.bindings(node))
        elif isinstance(node, ast.Attribute):
            base = self._module_of(unit, node.value)
            if base is not None:
                named = self._member_of(self._units[base], node.attr)
        if named is None or not named.is_module:
            return None
        return named.module

    # Nodes

    def _link_node(self, unit: Unit, node: ast.AST) -> None:
        match node:
            case ast.ImportFrom():
                self._check_members(unit, node)
            case ast.Name():
                bindings = unit.scopes.bindings(node)
                named = self._meaning(unit, node.id, bindings)
                if node.id == "__name__" and unit.key != PROGRAM:
                    unit.links.constants[node] = unit.key
                elif named is not None and not named.is_module:
                    unit.links.nodes[node] = named
                elif named is not None:
                    self._link_module(unit, node, named.module, is_optional=id(bindings) in unit.links.optional)
                elif node.id == "globals" and not bindings:
                    self._refuse_globals(node)
            case _:
                return

    def _refuse_globals(self, node: ast.Name) -> None:
        has_modules = any(not unit.is_driver and unit.key != PROGRAM for unit in self._units.values())
        if has_modules:
            hint = "keep what is looked up in a dict of your own"
            self._findings.error(node, "globals() would have the names of all files of this program", hint)

    def _check_members(self, unit: Unit, node: ast.ImportFrom) -> None:
        members = self.members(node, unit)
        if members is None:
            return
        key = self._modules.find(absolute_module(node, unit.package) or "", unit)
        for alias, named in members:
            if named is None and key is not None and not unit.scopes.is_caught(node, *IMPORT_ERRORS):
                self._refuse_missing(node, self._units[key], alias.name)

    def _refuse_missing(self, node: ast.AST, unit: Unit, name: str) -> None:
        names = sorted(other for other in unit.names if unit.is_driver or not other.startswith("_"))
        module = f"{unit.key}.{name}"
        if self._modules.find(module, unit) is not None:
            hint = f"import {module}"
        elif names:
            hint = f"it has {', '.join(names[:_SHOWN_NAMES])}"
        elif unit.file:
            hint = f"define {name} in {unit.file}"
        else:
            hint = f"put {name}.py into that folder"
        self._findings.error(node, f"{unit.title} has no {name}", hint)

    def _link_module(self, unit: Unit, node: ast.expr, module: str, *, is_optional: bool = False) -> None:
        parent = unit.scopes.parents.get(node)
        if isinstance(parent, ast.Attribute):
            self._link_attribute(unit, parent, module)
            return
        is_set = not isinstance(getattr(node, "ctx", None), ast.Load)
        if is_optional and (is_set or isinstance(parent, _TESTS)):
            return
        self._refuse_value(node, module, parent)

    def _link_attribute(self, unit: Unit, node: ast.Attribute, module: str) -> None:
        target = self._units[module]
        is_set = not isinstance(node.ctx, ast.Load)
        # A variable of a library may be set, as `ntptime.host`.
        if target.is_driver and is_set and not target.is_variable(node.attr):
            hint = "keep the value in a variable of your own"
            self._findings.error(node, f"a program cannot change {ast.unparse(node)}", hint)
            return
        if node.attr == "__name__":
            unit.links.constants[node] = module
            return
        named = self._member_of(target, node.attr)
        if named is None:
            self._refuse_attribute(node, target)
        elif named.is_module:
            self._link_module(unit, node, named.module)
        else:
            unit.links.nodes[node] = named
            if is_set:
                self._set_in_scope(unit, node, named)

    def _set_in_scope(self, unit: Unit, node: ast.Attribute, named: ImportedName) -> None:
        """Note that a function sets a name of another unit, which is global in the bundle."""
        scope = unit.scopes.of[node]
        if isinstance(scope.node, Comprehension):
            self._findings.error(node, f"a comprehension cannot set {ast.unparse(node)}", "write it as a loop")
        elif isinstance(scope.node, ast.ClassDef):
            message = f"the body of a class cannot set {ast.unparse(node)}"
            self._findings.error(node, message, "set it before the class, or in a method")
        elif scope is not unit.scopes.module:
            names = unit.links.globals.setdefault(scope.node, [])
            if named not in names:
                names.append(named)

    def _refuse_attribute(self, node: ast.Attribute, target: Unit) -> None:
        is_special = node.attr.startswith("__") and node.attr.endswith("__")
        if is_special:
            message = f"{ast.unparse(node)} is not there: a module is no object in a program"
            self._findings.error(node, message, "keep what is looked up in a dict of your own")
        else:
            self._refuse_missing(node, target, node.attr)

    def _refuse_value(self, node: ast.expr, module: str, parent: ast.AST | None) -> None:
        shown = ast.unparse(node)
        target = self._units[module]
        name = next((name for name in target.names if not name.startswith("_")), "NAME")
        hint = f"name what you need of it: {shown}.{name}"
        match parent:
            case ast.Call(func=ast.Name(id=function), args=[first, *_]) if function in _LOOKUPS and first is node:
                message = f"{function}({shown}) looks for names at run time: a module has none there"
                match parent.args:
                    case [_, ast.Constant(value=str(name)), *_] if name.isidentifier():
                        hint = f"write {shown}.{name}"
                    case _:
                        hint = "keep the functions that it may find in a dict"
            case _:
                kind = "module"
                if target.is_driver:
                    kind = "driver"
                message = f"the {kind} {shown} is used as a value"
        self._findings.error(node, message, hint)


def _clashing(bindings: list[Binding], brought: _Brought, *, is_single: bool) -> Binding | None:
    """Return the binding that gives the name of a module another meaning, or None. None beside a module is none."""
    for binding in brought.others:
        if not is_none(binding.value):
            return binding
    if is_single:
        return None
    return bindings[1]


def _runs_once(node: ast.AST, unit: Unit) -> bool:
    """Return True for a statement of the text itself that is in no loop."""
    parent = unit.scopes.parents.get(node)
    while parent is not None and parent is not unit.tree:
        if isinstance(parent, ast.For | ast.While | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
        parent = unit.scopes.parents.get(parent)
    return True
