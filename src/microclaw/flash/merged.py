"""Modules that always stay in a board's memory, made one at build time: each file of its own takes RAM.

A module costs its object, its table of names, its imports, and what others bind of it: 2.4 KB of those that stay.
Before `shortened`, `distinct` gives what two of them define under one name a name each; after it, `merged` puts their
bodies together, and the others import from there. Neither knows scopes: a name that also has another meaning in a
module, so that every place of it could not be taken alike, is refused. Boards with PSRAM have the modules as written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "firmware": (
        *("texts", "binding", "errors", "settings", "timeline", "board", "wifi", "loading", "peripherals", "program"),
        *("quota", "slots", "runner", "firmware"),
    ),
    "link": ("calendar", "cbor", "websocket", "messages", "outbox", "calls", "link"),
}
"""File by file, each module after those that it imports. Two files: programs run before the second is read in."""

_Groups = Mapping[str, tuple[str, ...]]


def distinct(modules: Mapping[str, str], groups: _Groups = GROUPS) -> dict[str, str]:
    """The sources, where no module of a group has a name that another of it defines and it does not import."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    imports = {name: _imports_of(tree) for name, tree in trees.items()}
    for members in _there(modules, groups).values():
        for member in members:
            others = {_bare(name) for other in members if other != member for name in _own(trees[other], members)}
            new = {
                name: f"{name[: len(name) - len(_bare(name))]}{member}_{_bare(name)}"
                for name in sorted(_defined(trees[member]))
                if _bare(name) in others
            }
            _rename_own(trees[member], new, member)
            for module, tree in trees.items():
                if module != member:
                    _rename_imported(tree, imports[module], member, new, module)
    return {name: ast.unparse(tree) + "\n" for name, tree in trees.items()}


def merged(modules: Mapping[str, str], groups: _Groups = GROUPS) -> dict[str, str]:
    """The sources with one module for each group, of the group's name."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    groups = _there(modules, groups)
    home = {member: group for group, members in groups.items() for member in members}
    for name, tree in trees.items():
        _Imports(tree, name, home).visit(tree)
    made = {name: tree for name, tree in trees.items() if name not in home}
    for group, members in groups.items():
        made[group] = _together({name: trees[name] for name in members})
    return {name: ast.unparse(ast.fix_missing_locations(tree)) + "\n" for name, tree in sorted(made.items())}


def _there(modules: Mapping[str, str], groups: _Groups) -> dict[str, tuple[str, ...]]:
    """The groups without what the firmware of this folder has not."""
    there = {group: tuple(name for name in members if name in modules) for group, members in groups.items()}
    return {group: members for group, members in there.items() if members}


def _together(members: Mapping[str, ast.Module]) -> ast.Module:
    """One body. Imports of the top go first, each once."""
    imports: dict[str, ast.stmt] = {}
    bound: dict[str, str] = {}
    body: list[ast.stmt] = []
    for name, tree in members.items():
        for node in tree.body:
            match node:
                case ast.Import() | ast.ImportFrom():
                    for alias in node.names:
                        one: ast.stmt = ast.Import([alias])
                        if isinstance(node, ast.ImportFrom):
                            one = ast.ImportFrom(node.module, [alias], 0)
                        what = ast.unparse(one)
                        imports[what] = one
                        if bound.setdefault(alias.asname or alias.name, what) != what:
                            raise ValueError(f"{name}: {what} is {bound[alias.asname or alias.name]} in another module")
                case ast.Expr(value=ast.Constant()):
                    pass  # what the module is
                case _:
                    body.append(node)
        for top in sorted(_defined(tree)):
            if bound.setdefault(top, name) != name:
                raise ValueError(f"{name} defines {top}, and so does {bound[top]}")
    return ast.Module([*imports.values(), *body], [])


class _Imports(ast.NodeTransformer):
    """What a module imports of a member comes from its group's module, or is there already."""

    def __init__(self, tree: ast.Module, module: str, home: Mapping[str, str]) -> None:
        self._module = module
        self._home = home
        self._group = home.get(module)
        self._here: set[str] = set()  # what modules of the same group are called here
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=aliases):
                    self._here |= {alias.asname or alias.name for alias in aliases if self._is_here(alias.name)}

    def _is_here(self, name: str | None) -> bool:
        return self._group is not None and self._home.get(name or "") == self._group

    def visit_Import(self, node: ast.Import) -> ast.stmt | None:
        node.names = [alias for alias in node.names if not self._is_here(alias.name)]
        for alias in node.names:
            if alias.name in self._home:
                alias.asname, alias.name = alias.asname or alias.name, self._home[alias.name]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        if self._is_here(node.module):
            if any(alias.asname for alias in node.names):
                raise ValueError(f"{self._module}: {ast.unparse(node)} gives another name")
            return None
        node.module = self._home.get(node.module or "", node.module)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        match node.value:
            case ast.Name(id=name) if name in self._here:
                return ast.Name(node.attr, node.ctx)
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._here:
            raise ValueError(f"{self._module}: the module {node.id} is used as an object")
        return node


def _bare(name: str) -> str:
    """A number's name gets an underscore when it compiles away."""
    return name.lstrip("_")


def _defined(tree: ast.Module) -> set[str]:
    """What a module defines at its top; not what it imports."""
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                pass
            case _:
                found |= {
                    name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
                }
    return found


def _own(tree: ast.Module, members: tuple[str, ...]) -> set[str]:
    """Every name in a module but those that it imports of the members: its own, its imports, built-in ones."""
    found, imported = _defined(tree), set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                found.add(name)
            case ast.ImportFrom(module=module, names=aliases) if module in members:
                imported |= {alias.name for alias in aliases}
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                found |= {alias.asname or alias.name for alias in aliases if alias.name not in members}
    return found - imported


def _rename_own(tree: ast.Module, new: Mapping[str, str], module: str) -> None:
    for part in tree.body:
        match part:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if part.name in new:
                part.name = new[part.name]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    bound = alias.asname or alias.name
                    alias.asname = new.get(bound, alias.asname)  # in `try: import x`, with `x = None` after it
    _check_meaning(tree, new, module)
    _rename_names(tree, new)


def _imports_of(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def _rename_imported(
    tree: ast.Module, imports: list[ast.Import | ast.ImportFrom], member: str, new: Mapping[str, str], module: str
) -> None:
    called: set[str] = set()
    names: dict[str, str] = {}
    for node in imports:
        match node:
            case ast.Import(names=aliases):
                called |= {alias.asname or alias.name for alias in aliases if alias.name == member}
            case ast.ImportFrom(names=aliases) if node.module == member:
                for alias in aliases:
                    if alias.name in new:
                        if alias.asname is None:
                            names[alias.name] = new[alias.name]
                        alias.name = new[alias.name]
    if not called and not names:
        return
    _check_meaning(tree, {**names, **dict.fromkeys(called, "")}, module)
    for place in ast.walk(tree):
        match place:
            case ast.Attribute(value=ast.Name(id=name)) if name in called:
                place.attr = new.get(place.attr, place.attr)
    _rename_names(tree, names)


def _rename_names(tree: ast.Module, new: Mapping[str, str]) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                node.id = new.get(name, name)
            case ast.Global(names=names):
                node.names = [new.get(name, name) for name in names]


def _check_meaning(tree: ast.Module, names: Mapping[str, str], module: str) -> None:
    """Each name means one thing in this module, as far as a program can be told that reads names alone."""
    for name in _others(tree):
        if name in names:
            raise ValueError(f"{module}: {name} is also an argument, or of a class or function: take another name")


def _others(tree: ast.Module) -> Iterator[str]:
    """Names of arguments, and what classes and functions define."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.ClassDef(body=body):
                for part in body:
                    if isinstance(part, ast.Assign):
                        yield from (target.id for target in part.targets if isinstance(target, ast.Name))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for inner in ast.walk(node):
                    if inner is not node and isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                        yield inner.name
