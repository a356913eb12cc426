"""Which name means what, and where: the scopes of a program as Python has them. Judges nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
ScopeNode: TypeAlias = ast.Module | ast.ClassDef | Function | Comprehension
BindingKind: TypeAlias = Literal["param", "def", "class", "import", "value", "loop", "other"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One place that gives a name its meaning. `value`: what is assigned or looped over, where that is plain."""

    kind: BindingKind
    node: ast.AST
    value: ast.expr | None = None
    origin: str | None = None  # of an import: the module, or module.name


@dataclass(eq=False, slots=True)
class Scope:
    node: ScopeNode
    parent: Scope | None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)

    @property
    def module(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def function(self) -> Scope:
        """The innermost function, lambda or module around: what runs the code of this scope."""
        scope = self
        while scope.parent is not None and isinstance(scope.node, Comprehension):
            scope = scope.parent
        return scope

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope that owns a name as it is seen from here; None for a builtin or an unknown one."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.globals:
                scope = scope.module
            elif name in scope.bindings and (not isinstance(scope.node, ast.ClassDef) or scope is self):
                return scope, scope.bindings[name]
            if scope.parent is None:
                return (scope, scope.bindings[name]) if name in scope.bindings else None
            scope = scope.parent
        return None


class Scopes(ast.NodeVisitor):
    """Every node's scope; `by_node` has the scope that a function, class or comprehension opens."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree, None)
        self.by_node: dict[ast.AST, Scope] = {tree: self.module}
        self.of: dict[ast.AST, Scope] = {}
        self.parents: dict[ast.AST, ast.AST] = {}
        self._scope = self.module
        for statement in tree.body:
            self.parents[statement] = tree
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        self.of[node] = self._scope
        for child in ast.iter_child_nodes(node):
            self.parents[child] = node
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        self._inside(node, (node.body,), node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name, Binding("class", node))
        self._all((*node.decorator_list, *node.bases, *node.keywords))
        self._inside(node, node.body)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, (node.elt,))

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node, (node.elt,))

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, (node.elt,))

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, (node.key, node.value))

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.globals.update(node.names)
        for name in node.names:  # the function that says `global` may be the only one that assigns it
            self.module.bindings.setdefault(name, [])

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._scope.nonlocals.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            self._bind(alias.asname or whole, Binding("import", node, origin=canonical(whole)))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            origin = f"{canonical(node.module or '')}.{alias.name}"
            self._bind(alias.asname or alias.name, Binding("import", node, origin=origin))

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._target(target, node, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._target(node.target, node, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.generic_visit(node)
        self._target(node.target, node, None)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        inner, self._scope = self._scope, self._scope.function
        self._target(node.target, node, node.value)
        self._scope = inner

    def visit_For(self, node: ast.For) -> None:
        self.generic_visit(node)
        self._target(node.target, node, node.iter, loop=True)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.generic_visit(node)
        self._target(node.target, node, None)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.generic_visit(node)
        if node.optional_vars is not None:
            self._target(node.optional_vars, node, None)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name, Binding("other", node))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name, Binding("def", node))
        self._all(node.decorator_list)
        self._defaults(node.args)
        self._inside(node, node.body, node.args)

    def _comprehension(self, node: Comprehension, results: Iterable[ast.expr]) -> None:
        first, *rest = node.generators
        self.parents[first.iter] = first
        self.visit(first.iter)
        outer, self._scope = self._scope, Scope(node, self._scope)
        self.by_node[node] = self._scope
        for generator in node.generators:
            self.of[generator] = self._scope
            for child in ast.iter_child_nodes(generator):
                self.parents[child] = generator
            self._target(generator.target, node, generator.iter, loop=True)
            self.visit(generator.target)
            self._all(generator.ifs)
        self._all(generator.iter for generator in rest)
        self._all(results)
        self._scope = outer

    def _inside(self, node: ScopeNode, body: Iterable[ast.AST], args: ast.arguments | None = None) -> None:
        outer, self._scope = self._scope, Scope(node, self._scope)
        self.by_node[node] = self._scope
        if args is not None:
            for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg):
                if arg is not None:
                    self._bind(arg.arg, Binding("param", arg))
        self._all(body)
        self._scope = outer

    def _defaults(self, args: ast.arguments) -> None:
        self._all(args.defaults)
        self._all(d for d in args.kw_defaults if d is not None)

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _bind(self, name: str, binding: Binding) -> None:
        owner = self._scope.module if name in self._scope.globals else self._scope
        if name in self._scope.nonlocals:
            found = self._scope.parent.find(name) if self._scope.parent is not None else None
            owner = found[0] if found is not None else owner
        owner.bindings.setdefault(name, []).append(binding)

    def _target(self, target: ast.expr, node: ast.AST, value: ast.expr | None, *, loop: bool = False) -> None:
        match target:
            case ast.Name(id=name):
                kind: BindingKind = "loop" if loop else "value" if value is not None else "other"
                self._bind(name, Binding(kind, node, value))
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(parts) else None
                for n, part in enumerate(parts):
                    self._target(part, node, values[n] if values is not None and not loop else None)
            case ast.Starred(value=inner):
                self._target(inner, node, None)
            case _:
                return  # an attribute or an item: no name


_ALIASES = frozenset(
    [
        "asyncio",
        "binascii",
        "bluetooth",
        "collections",
        "cryptolib",
        "ctypes",
        "errno",
        "hashlib",
        "heapq",
        "io",
        "json",
        "os",
        "platform",
        "random",
        "re",
        "requests",
        "select",
        "socket",
        "ssl",
        "struct",
        "sys",
        "time",
        "zlib",
        "machine",
    ]
)


def canonical(module: str) -> str:
    """A module's name without the `u` of older MicroPython programs: "utime" is "time"."""
    top, dot, rest = module.partition(".")
    return (top[1:] if top[:1] == "u" and top[1:] in _ALIASES and top != "uctypes" else top) + dot + rest
