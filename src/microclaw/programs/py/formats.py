"""Makes a tree simpler before it is analysed: no annotations, `*` imports by name, f-strings as `str.format`."""

from __future__ import annotations

import ast
from collections.abc import Collection, Set

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.drivers import PACKAGE, driver_file
from microclaw.programs.py.scopes import Scopes, canonical

# The compiler itself knows @micropython.native and viper: they need no import.
_COMPILER = "micropython"
# MicroPython has no !a; its repr is ASCII but for printable characters.
_CONVERSIONS = {115: "!s", 114: "!r", 97: "!r"}


class Simplifier(ast.NodeTransformer):
    """Makes trees simpler; `used` are the names of which `*` imports bring what the image has."""

    def __init__(self, used: Set[str]) -> None:
        self._used = used

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        if _names_compiler(node) and _COMPILER not in Scopes(node).module.bindings:
            node.body.insert(0, ast.copy_location(ast.Import([ast.alias(_COMPILER)]), node.body[0]))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        # In viper code annotations are types, not remarks.
        if any("viper" in ast.unparse(decorator) for decorator in node.decorator_list):
            node.body = [self.visit(statement) for statement in node.body]
            return node
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_Try(self, node: ast.Try) -> ast.AST | list[ast.stmt]:
        # `except ImportError` defines what another Python lacks, often by the same name.
        if not all(map(_is_in_image, node.body)):
            return self.generic_visit(node)
        node.handlers = []
        node.body += node.orelse
        node.orelse = []
        self.generic_visit(node)
        if node.finalbody:
            return node
        return node.body

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if node.module == PACKAGE and not node.level:
            return _without_own_modules(node)
        star = node.names[0]
        names = stock_image().modules.get(canonical(node.module or ""))
        if star.name != "*" or names is None:
            return node
        node.names = [ast.copy_location(ast.alias(name), star) for name in sorted(names & self._used)]
        if not node.names:
            return ast.copy_location(ast.Pass(), node)
        return node


def used_words(trees: Collection[ast.Module]) -> set[str]:
    """Return the names that texts use: what `import *` may bring. Several texts use names of each other."""
    words = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                words.add(node.id)
            elif isinstance(node, ast.Attribute) and len(trees) > 1:
                words.add(node.attr)
            elif isinstance(node, ast.alias) and len(trees) > 1:
                words.add(node.name)
    return words


def _is_in_image(statement: ast.stmt) -> bool:
    """Return True if a statement only imports what every board has and a program may use."""
    stock = stock_image()
    match statement:
        case ast.Import(names=aliases):
            paths = [canonical(alias.name) for alias in aliases]
            return all(path in stock.modules and path not in stock.refused for path in paths)
        case ast.ImportFrom(module=str() as module, names=aliases, level=0):
            names = {alias.name for alias in aliases}
            paths = [f"{canonical(module)}.{name}" for name in names] + [canonical(module)]
            is_refused = any(path in stock.refused for path in paths)
            everywhere = stock.modules.get(canonical(module), frozenset()).difference(*stock.lacking.values())
            return names <= everywhere and not is_refused
        case _:
            return False


def _names_compiler(tree: ast.Module) -> bool:
    """Return True if a decorator in a text is one of the compiler's."""
    for node in ast.walk(tree):
        for decorator in getattr(node, "decorator_list", ()):
            match decorator:
                case ast.Attribute(value=ast.Name(id=name)) if name == _COMPILER:
                    return True
                case _:
                    continue
    return False


def _without_own_modules(node: ast.ImportFrom) -> list[ast.stmt]:
    """Return `from microclaw import pin, screen` as an import of pin and one of the module microclaw.screen."""
    statements: list[ast.stmt] = []
    names = []
    for alias in node.names:
        module = f"{PACKAGE}.{alias.name}"
        if driver_file(module) is None:
            names.append(alias)
        else:
            own = ast.Import([ast.copy_location(ast.alias(module, alias.asname or alias.name), alias)])
            statements.append(ast.copy_location(own, node))
    if names:
        statements.append(ast.copy_location(ast.ImportFrom(node.module, names, 0), node))
    return statements


def as_format_call(node: ast.JoinedStr) -> ast.Call | ast.Constant:
    """Return an f-string as "...".format(...): those of MicroPython cannot nest quotes, braces or f-strings."""
    values: list[ast.expr] = []
    text = _template(node, values)
    if not values:
        return ast.Constant(text.replace("{{", "{").replace("}}", "}"))
    return ast.Call(ast.Attribute(ast.Constant(text), "format", ast.Load()), values, [])


def _template(node: ast.JoinedStr, values: list[ast.expr]) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            values.append(part.value)
            spec = ""
            if isinstance(part.format_spec, ast.JoinedStr):
                spec = f":{_template(part.format_spec, values)}"
            parts.append("{" + _CONVERSIONS.get(part.conversion, "") + spec + "}")
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value).replace("{", "{{").replace("}", "}}"))
    return "".join(parts)
