"""Our modules for a board without PSRAM: they leave 13.4 KB more of its 160 KB of heap free (docs/decisions/0036).

**Names** (7.7 KB): MicroPython keeps each name that it has read in 16 bytes of RAM, forever. So our names become names
that its images have in flash, the same in all modules; a name that only one module uses may be used again in another.
These names stay: names in texts, of keywords, of objects that a program can hold, of main.py, and MicroPython's own.
**Texts** (3.2 KB of what always stays, 0.5 KB of `net`, as much of an install): in functions, texts for people become
`text_at(n)` of fw/texts.py.
**Modules** (2.5 KB): the modules that always stay become two files, with fewer imports and tables of names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, product
from keyword import iskeyword
from pathlib import Path
from string import ascii_lowercase
from typing import Final

from microclaw.hardware.boards.micropython.stock import stock_image

FOR_PROGRAMS: Final = frozenset(
    {
        "inputs",
        "microclaw",
        "microclaw_devices",
        "modules",
        "net",
        "net_poll",
        "net_streams",
        "net_wifi",
        "output",
        "peripherals",
        "program",
        "sensors",
        "standstill",
        "timers",
        "unwrapping",
    }
)
"""Modules whose objects a program holds."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "firmware": (
        "texts",
        "binding",
        "errors",
        "settings",
        "timeline",
        "board",
        "wifi",
        "loading",
        "peripherals",
        "program",
        "quota",
        "slots",
        "runner",
        "firmware",
    ),
    "link": ("calendar", "cbor", "websocket", "messages", "outbox", "calls", "link"),
}
"""Modules that always stay in memory, by file; each after its imports. Programs run before the second file is read."""
HOME: Final = {**dict.fromkeys(GROUPS["firmware"], "firmware"), **dict.fromkeys(GROUPS["link"], "link")}
TEXTS: Final = "texts"
"""The module that reads the texts; the file lies beside it."""
_BEFORE_TEXTS: Final = frozenset({TEXTS, "start", "heap"})
"""Modules that are read in before the one that reads the texts, and that one."""
_IN_FLASH: Final = Path(__file__).with_name("names_in_flash.txt")
"""Names of stock images 1.25 and 1.26 that are not in stock_image.toml: methods, frozen modules, what chips have."""
# The code that reads a shorter text takes as much memory as the text.
_MIN_CHARS: Final = 12
_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)*")


def move_texts_to_file(modules: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """Return the sources with the texts of their functions moved into a file, and that file."""
    texts = _TextMover()
    sources = dict(modules)
    if TEXTS not in modules:
        return sources, texts.file
    for name in sorted(modules.keys() - _BEFORE_TEXTS):
        tree = ast.parse(modules[name])
        if texts.move_from(tree):
            # The first statement is the module's docstring.
            tree.body.insert(1, ast.ImportFrom(TEXTS, [ast.alias("text_at")], 0))
            sources[name] = _unparse(tree)
    return sources, texts.file


class _TextMover(ast.NodeTransformer):
    def __init__(self) -> None:
        self.file = b""
        self._moved_count = 0
        self._places: dict[str, int] = {}

    def move_from(self, tree: ast.Module) -> bool:
        """Replace the texts in all functions of a module; return True if it had any."""
        count_before = self._moved_count
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                start = 0 if ast.get_docstring(node) is None else 1
                node.body[start:] = [self.visit(statement) for statement in node.body[start:]]
        return self._moved_count > count_before

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        # `move_from` visits each function itself, to leave its docstring out.
        return node

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
        self._moved_count += 1
        return ast.Call(ast.Name("text_at", ast.Load()), [ast.Constant(self._places[text])], [])


def shorten_names(modules: Mapping[str, str], main: str) -> dict[str, str]:
    """Return the sources with shorter names; `main` is the text of main.py, which starts them."""
    trees = {}
    for module, text in modules.items():
        # The compiler knows `const` without the import.
        trees[module] = ast.parse(text.replace("from micropython import const\n", ""))
    _hide_numbers(trees)
    new_names = _choose_names(trees, ast.parse(main))
    sources = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            _rename(node, new_names[module])
        sources[module] = _unparse(tree)
    return sources


def _choose_names(trees: Mapping[str, ast.Module], main: ast.Module) -> dict[str, dict[str, str]]:
    """Return the new name of each old name, for every module."""
    in_flash = _IN_FLASH.read_text(encoding="ascii").split()
    fixed = _find_fixed_names(trees, main)
    defined = _find_definitions(trees, fixed.union(in_flash, _stock_names()))
    used = {module: _collect(_names_of, tree) for module, tree in trees.items()}
    private = _find_private_names(trees, defined)

    shared = set[str]()
    for module, names in used.items():
        shared |= names.difference(private.get(module, ()))
    defined_names = set[str]().union(*defined.values())
    # The longest first, as they gain most.
    old_names = sorted(shared & defined_names, key=lambda name: (-len(name), name))
    free = _find_free_names(in_flash, fixed.union(*used.values()))
    # The first of the free names are for private names: each module uses them again.
    private_count = max(map(len, private.values()), default=0)
    shared_names = {}
    for old, new in zip(old_names, free[private_count:], strict=False):
        if len(new) < len(old) or new in in_flash:
            shared_names[old] = new
    return {module: shared_names | dict(zip(private.get(module, ()), free, strict=False)) for module in trees}


def _find_fixed_names(trees: Mapping[str, ast.Module], main: ast.Module) -> set[str]:
    """Return the names that stay because of our modules, programs and main.py."""
    fixed = trees.keys() | _collect(_names_of, main) | _collect(_fixed_names_of, main)
    for module, tree in trees.items():
        fixed |= _collect(_fixed_names_of, tree)
        # Also `_x`: the host refuses some such names in programs, others it lets through.
        if module in FOR_PROGRAMS:
            fixed.update(_defined_in(tree))
    return fixed


def _stock_names() -> frozenset[str]:
    image = stock_image()
    return image.builtins.union(*image.modules.values(), *image.members.values())


def _find_definitions(trees: Mapping[str, ast.Module], fixed: set[str]) -> dict[str, set[str]]:
    """Return the names that each module defines and that may change."""
    definitions = {}
    for module, tree in trees.items():
        names = set(_defined_in(tree)) - fixed
        definitions[module] = {name for name in names if not name.endswith("_")}
    return definitions


def _find_private_names(trees: Mapping[str, ast.Module], defined: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """Return the names that only one module uses, sorted.

    Only for modules that are the only one in their file, and that programs do not use.
    """
    requested = set[str]()
    for tree in trees.values():
        requested |= _collect(_requested_names_of, tree)
    own_files = trees.keys() - FOR_PROGRAMS - HOME.keys()
    return {module: sorted(defined[module] - requested) for module in own_files}


def _find_free_names(in_flash: Iterable[str], taken: set[str]) -> list[str]:
    """Return unused names, each once: names in flash first, which take no RAM, then names of two letters."""
    letters = map("".join, product(ascii_lowercase, repeat=2))
    # Some names in flash have two letters, too.
    names = dict.fromkeys(chain(in_flash, letters))
    return [name for name in names if name not in taken and not iskeyword(name)]


def _rename(node: ast.AST, new_names: Mapping[str, str]) -> None:
    for field in _FIELDS:
        old = getattr(node, field, None)
        if isinstance(old, list):
            setattr(node, field, [new_names.get(name, name) for name in old])
        elif old:
            setattr(node, field, new_names.get(old, old))


def _hide_numbers(trees: Mapping[str, ast.Module]) -> None:
    """Change `SIZE = 3` that only its module uses to `_SIZE = const(3)`, which the compiler puts where it is used."""
    used = {module: _collect(_names_of, tree) for module, tree in trees.items()}
    for module in trees.keys() - FOR_PROGRAMS:
        elsewhere = set().union(*(used[other] for other in used.keys() - {module}))
        for node in trees[module].body:
            match node:
                case ast.Assign(targets=[ast.Name(id=old)], value=ast.Constant(value=int())) if old.isupper():
                    if elsewhere.isdisjoint((old, f"_{old}")):
                        node.value = ast.Call(ast.Name("const", ast.Load()), [node.value], [])
                        _rename_variable(trees[module], old, f"_{old.lstrip('_')}")


def _rename_variable(tree: ast.Module, old: str, new: str) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new


def merge_modules(modules: Mapping[str, str]) -> dict[str, str]:
    """Join the sources into one module for each group.

    Raises ValueError if a name would have two meanings in it.
    """
    trees = {name: ast.parse(text) for name, text in modules.items()}
    for name, tree in trees.items():
        _Imports(tree, HOME.get(name)).visit(tree)
    merged = {name: tree for name, tree in trees.items() if name not in HOME}
    for group, members in GROUPS.items():
        body = _join({name: trees[name] for name in members if name in trees})
        if body:
            merged[group] = ast.Module(body, [])
    return {name: _unparse(merged[name]) for name in sorted(merged)}


def _join(members: Mapping[str, ast.Module]) -> list[ast.stmt]:
    """Return the imports of the modules, then their other statements; nothing if they only import."""
    owners: dict[str, str] = {}
    imports: dict[str, ast.stmt] = {}
    body: list[ast.stmt] = []
    for member, tree in members.items():
        for statement in tree.body:
            owner = member
            if isinstance(statement, ast.Import | ast.ImportFrom):
                # The same import in two modules has one meaning.
                owner = ast.unparse(statement)
                imports[owner] = statement
            else:
                body.append(statement)
            for name in _bound_by(statement):
                if owners.setdefault(name, owner) != owner:
                    raise ValueError(f"{name} of {member} is also of {owners[name]}: take another name")
    if not body:
        return []
    return [*imports.values(), *body]


class _Imports(ast.NodeTransformer):
    """The imports of a member; without imports from its own group's module, whose names it has."""

    def __init__(self, tree: ast.Module, group: str | None) -> None:
        self._group = group
        self._here = set[str]()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._here.update(_imported_by(node, group))

    def visit_Import(self, node: ast.Import) -> list[ast.Import]:
        imports = []
        for alias in node.names:
            if alias.name in self._here:
                continue
            if alias.name in HOME:
                alias.asname = alias.asname or alias.name
                alias.name = HOME[alias.name]
            imports.append(ast.Import([alias]))
        return imports

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.ImportFrom]:
        home = HOME.get(node.module or "", node.module)
        if home == self._group:
            return []
        return [ast.ImportFrom(home, [alias], 0) for alias in node.names]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self._here:
            return ast.Name(node.attr, node.ctx)
        return node


def _imported_by(node: ast.Import, group: str | None) -> Iterator[str]:
    """Yield the imported modules that are of this group."""
    for alias in node.names:
        if group and HOME.get(alias.name) == group:
            yield alias.name


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines in its module."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


def _unparse(tree: ast.Module) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _collect(names_of: Callable[[ast.AST], Iterable[str]], tree: ast.AST) -> set[str]:
    """Return the names that `names_of` yields for the nodes of a tree."""
    return set(chain.from_iterable(map(names_of, ast.walk(tree))))


_FIELDS: Final = ("id", "attr", "arg", "name", "asname", "names")
"""The fields in which nodes have names."""


def _names_of(node: ast.AST) -> Iterator[str]:
    for field in _FIELDS:
        value = getattr(node, field, None)
        names = value if isinstance(value, list) else [value]
        for name in names:
            if isinstance(name, str) and name:
                yield name


def _requested_names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names by which a module accesses another module or an object."""
    if isinstance(node, ast.Attribute | ast.alias | ast.ClassDef):
        yield from _names_of(node)
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            yield from _names_of(part)


def _defined_in(node: ast.AST, is_function: bool = False) -> Iterator[str]:
    """Yield the names that a module defines, with its functions' arguments; other variables have no names there."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.arg() | ast.Attribute(ctx=ast.Store()):
            yield from _names_of(node)
        case ast.Name(ctx=ast.Store()) if not is_function:
            yield from _names_of(node)
    is_function |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.comprehension)
    for child in ast.iter_child_nodes(node):
        yield from _defined_in(child, is_function)


def _fixed_names_of(node: ast.AST) -> Iterator[str]:
    """Yield the names that must stay: in texts (getattr may use them), keywords, modules, and compile-time numbers."""
    match node:
        case ast.Constant(value=str(text)):
            words = text.split()
            if all(map(_WORD.fullmatch, words)):
                for word in words:
                    yield word.replace(".", "_")
                    yield from re.split("[.:]", word)
        case ast.keyword(arg=str(name)):
            yield name
        case ast.Import():
            for alias in node.names:
                yield alias.name
        case ast.ImportFrom(module=str(module)):
            yield module
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="const"))):
            yield name
