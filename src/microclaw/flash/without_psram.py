"""Our modules for a board without PSRAM: 13.4 KB more of its 160 KB of heap are left (docs/decisions/0036).

**Names** (7.7 KB): MicroPython keeps every name that it read in forever, in 16 bytes of RAM. So ours become names that
its images have in flash, alike in all modules; what one module alone can ask for may be the same name in each. Names
stay that stand in texts, are of keywords, of what a program can hold, of main.py, or MicroPython's own.
**Texts** (3.2 KB): in functions of modules that always stay, texts for people become `text_at(n)` of fw/texts.py.
**Modules** (2.5 KB): those that always stay become two files, with fewer imports and tables of names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import chain, product
from keyword import iskeyword
from pathlib import Path
from string import ascii_lowercase
from typing import Final

from microclaw.py.stock import stock_image

FOR_PROGRAMS: Final = frozenset(
    (
        *("program", "peripherals", "timers", "inputs", "unwrapping", "modules", "standstill", "sensors", "output"),
        *("microclaw", "microclaw_devices"),
    )
)
"""Modules whose objects a program holds."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "firmware": (
        *("texts", "binding", "errors", "settings", "timeline", "board", "wifi", "loading", "peripherals", "program"),
        *("quota", "slots", "runner", "firmware"),
    ),
    "link": ("calendar", "cbor", "websocket", "messages", "outbox", "calls", "link"),
}
"""Modules that always stay, file by file, each after those that it imports. Programs run before the second is read."""
HOME: Final = {**dict.fromkeys(GROUPS["firmware"], "firmware"), **dict.fromkeys(GROUPS["link"], "link")}
TEXTS: Final = "texts"
"""The module that reads the texts; the file lies beside it."""
_IN_FLASH: Final = Path(__file__).with_name("names_in_flash.txt")
"""Names of stock images 1.25 and 1.26 that are not in stock_image.toml: methods, frozen modules, what chips have."""
# The code that reads a shorter text takes as much memory as the text.
_MIN_CHARS: Final = 12
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*")


def move_texts_to_file(modules: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Return the sources, with the texts of resident ones moved into a file, and that file."""
    made = dict(modules)
    texts = _Texts()
    for name in sorted((HOME.keys() - {TEXTS}) & modules.keys()) if TEXTS in modules else ():
        tree = ast.parse(modules[name])
        before = texts.asked
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = 0 if ast.get_docstring(node) is None else 1
                node.body[start:] = [texts.visit(part) for part in node.body[start:]]
        if texts.asked > before:
            tree.body.insert(1, ast.ImportFrom(TEXTS, [ast.alias("text_at")], 0))  # the first is what the module is
            made[name] = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    return made, texts.file


class _Texts(ast.NodeTransformer):
    def __init__(self) -> None:
        self.file = b""
        self.asked = 0
        self._places: dict[str, int] = {}

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        return node  # `move_texts_to_file` comes to it

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        text = node.value
        if not isinstance(text, str) or len(text) < _MIN_CHARS:
            return node
        if " " not in text or not text.isprintable():
            return node
        if text not in self._places:
            self._places[text] = len(self.file)
            self.file += text.encode() + b"\n"
        self.asked += 1
        return ast.Call(ast.Name("text_at", ast.Load()), [ast.Constant(self._places[text])], [])


def shorten_names(modules: Mapping[str, str], main: str) -> dict[str, str]:
    """Return the sources with shorter names; `main` starts them."""
    # The compiler knows `const` without the import.
    trees = {name: ast.parse(text.replace("from micropython import const\n", "")) for name, text in modules.items()}
    _hide_numbers(trees)
    nodes = {name: [*ast.walk(tree)] for name, tree in trees.items()}
    kept = set(trees)
    for node in ast.walk(ast.parse(main)):
        kept.update(_named(node), _kept(node))
    for node in chain.from_iterable(nodes.values()):
        kept.update(_kept(node))
    # Also `_x`: the host refuses some such names in programs, others it lets through.
    for module in FOR_PROGRAMS & trees.keys():
        kept.update(_defined_in(trees[module]))
    image = stock_image()
    in_flash = _IN_FLASH.read_text(encoding="ascii").split()
    fixed = kept.union(in_flash, image.builtins, *image.modules.values(), *image.members.values())
    asked = set(chain.from_iterable(map(_asked, chain.from_iterable(nodes.values()))))
    defined = {
        module: {name for name in _defined_in(tree) if name not in fixed and not name.endswith("_")}
        for module, tree in trees.items()
    }
    # Each of these is the only module in its file, and programs do not use it.
    own_files = defined.keys() - FOR_PROGRAMS - HOME.keys()
    private = {module: sorted(defined[module] - asked) for module in own_files}
    most = max(map(len, private.values()), default=0)
    used = {module: set(chain.from_iterable(map(_named, parts))) for module, parts in nodes.items()}
    shared = set().union(*(found.difference(private.get(module, ())) for module, found in used.items()))
    ours = sorted(shared & set().union(*defined.values()), key=lambda name: (-len(name), name))
    taken = kept.union(*used.values())
    letters = map("".join, product(ascii_lowercase, repeat=2))
    free = [name for name in chain(in_flash, letters) if name not in taken and not iskeyword(name)]
    names = {old: new for old, new in zip(ours, free[most:], strict=False) if len(new) < len(old) or new in in_flash}
    for module, found in nodes.items():
        new_names = names | dict(zip(private.get(module, ()), free, strict=False))
        for node in found:
            _rename(node, new_names)
    return {name: ast.unparse(tree) + "\n" for name, tree in trees.items()}


def _rename(node: ast.AST, new_names: Mapping[str, str]) -> None:
    for field in _FIELDS:
        old = getattr(node, field, None)
        if isinstance(old, list):
            setattr(node, field, [new_names.get(name, name) for name in old])
        elif old:
            setattr(node, field, new_names.get(old, old))


def _hide_numbers(trees: Mapping[str, ast.Module]) -> None:
    """`SIZE = 3` that only its module uses becomes `_SIZE = const(3)`, which the compiler puts where it is used."""
    used = {module: set(chain.from_iterable(map(_named, ast.walk(tree)))) for module, tree in trees.items()}
    for module in trees.keys() - FOR_PROGRAMS:
        elsewhere = set().union(*(used[other] for other in used.keys() - {module}))
        for node in trees[module].body:
            match node:
                case ast.Assign(targets=[ast.Name(id=old)], value=ast.Constant(value=int())) if (
                    old.isupper() and not {old, f"_{old}"} & elsewhere
                ):
                    node.value = ast.Call(ast.Name("const", ast.Load()), [node.value], [])
                    for place in ast.walk(trees[module]):
                        if isinstance(place, ast.Name) and place.id == old:
                            place.id = f"_{old.lstrip('_')}"


def merge_modules(modules: Mapping[str, str]) -> dict[str, str]:
    """Join the sources into one module for each group. ValueError if a name would have two meanings in it."""
    trees = {name: ast.parse(text) for name, text in modules.items()}
    for name, tree in trees.items():
        _Imports(tree, HOME.get(name)).visit(tree)
    made = {name: tree.body for name, tree in trees.items() if name not in HOME}
    for group, members in GROUPS.items():
        bound: dict[str, str] = {}
        imports: dict[str, ast.stmt] = {}
        body: list[ast.stmt] = []
        for member in (name for name in members if name in trees):
            for node in trees[member].body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    what = ast.unparse(node)
                    names = {alias.asname or alias.name for alias in node.names}
                    owner = what
                    imports[what] = node
                else:
                    names = {*_bound_by(node)}
                    owner = member
                    body.append(node)
                for name in names:
                    if bound.setdefault(name, owner) != owner:
                        raise ValueError(f"{name} of {member} is also of {bound[name]}: take another name")
        if body:
            made[group] = [*imports.values(), *body]
    return {name: ast.unparse(ast.fix_missing_locations(ast.Module(made[name], []))) + "\n" for name in sorted(made)}


class _Imports(ast.NodeTransformer):
    """The imports of a member: what comes from its group's module, or is there already."""

    def __init__(self, tree: ast.Module, group: str | None) -> None:
        imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
        self._group = group
        self._here = set[str]()
        for node in imports:
            for alias in node.names:
                if group and HOME.get(alias.name) == group:
                    self._here.add(alias.name)

    def visit_Import(self, node: ast.Import) -> list[ast.Import]:
        kept = [alias for alias in node.names if alias.name not in self._here]
        for alias in kept:
            if alias.name in HOME:
                alias.asname = alias.asname or alias.name
                alias.name = HOME[alias.name]
        return [ast.Import([alias]) for alias in kept]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.ImportFrom]:
        home = HOME.get(node.module or "", node.module)
        if home == self._group:
            return []
        return [ast.ImportFrom(home, [alias], 0) for alias in node.names]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        of_here = isinstance(node.value, ast.Name) and node.value.id in self._here
        if of_here:
            return ast.Name(node.attr, node.ctx)
        return node


def _bound_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    else:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id


_FIELDS: Final = ("id", "attr", "arg", "name", "asname", "names")
"""The places where nodes have names."""


def _named(node: ast.AST) -> Iterator[str]:
    for field in _FIELDS:
        value = getattr(node, field, None)
        names = value if isinstance(value, list) else [value]
        for name in names:
            if isinstance(name, str) and name:
                yield name


def _asked(node: ast.AST) -> Iterator[str]:
    """Names by which a module asks another one, or an object."""
    if isinstance(node, ast.Attribute | ast.alias | ast.ClassDef):
        yield from _named(node)
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            yield from _named(part)


def _defined_in(node: ast.AST, is_function: bool = False) -> Iterator[str]:
    """Yield the names that a module defines, with its functions' arguments; other variables have no names there."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.arg() | ast.Attribute(ctx=ast.Store()):
            yield from _named(node)
        case ast.Name(ctx=ast.Store()) if not is_function:
            yield from _named(node)
    is_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.comprehension)
    for child in ast.iter_child_nodes(node):
        yield from _defined_in(child, is_function)


def _kept(node: ast.AST) -> Iterator[str]:
    """Names that must stay: in texts, which getattr may take, keywords, modules, and numbers that compile away."""
    match node:
        case ast.Constant(value=str(text)):
            words = text.split()
            if all(_WORD.fullmatch(word) for word in words):
                for word in words:
                    yield word.replace(".", "_")
                    yield from re.split("[.:]", word)
        case ast.keyword(arg=str(name)):
            yield name
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="const"))):
            yield name
