"""Makes a tree simpler before it is analysed: no annotations, `*` imports by name, f-strings as `str.format`."""

from __future__ import annotations

import ast

from microclaw.hardware.boards.micropython.stock import stock_image
from microclaw.programs.py.scopes import canonical

_CONVERSIONS = {115: "!s", 114: "!r", 97: "!r"}  # MicroPython has no !a; its repr is ASCII but for printable characters


class Simplifier(ast.NodeTransformer):
    def __init__(self, tree: ast.Module) -> None:
        self._used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if any("viper" in ast.unparse(d) for d in node.decorator_list):  # there they are types, not remarks
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

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.names[0].name == "*":
            known = stock_image().modules.get(canonical(node.module or ""))
        else:
            known = None
        if known is not None:
            node.names = [ast.copy_location(ast.alias(n), node.names[0]) for n in sorted(known & self._used)]
            if node.names:
                return node
            return ast.copy_location(ast.Pass(), node)
        return node


def as_format_call(node: ast.JoinedStr) -> ast.Call | ast.Constant:
    """An f-string as "...".format(...): MicroPython's own f-strings cannot nest quotes, braces or f-strings."""
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
            spec = part.format_spec
            if isinstance(spec, ast.JoinedStr):
                inner = f":{_template(spec, values)}"
            else:
                inner = ""
            parts.append("{" + _CONVERSIONS.get(part.conversion, "") + inner + "}")
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value).replace("{", "{{").replace("}", "}}"))
    return "".join(parts)
