"""The meaning of each name at its place: the scopes of a program as Python has them. Judges nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct, field

from microclaw.hardware.boards.micropython.stock import stock_image

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
ScopeNode: TypeAlias = ast.Module | ast.ClassDef | Function | Comprehension
BindingKind: TypeAlias = Literal["param", "def", "class", "import", "value", "loop", "other"]


class Binding(Struct, frozen=True):
    """One place that gives a name its meaning. `value`: what is assigned or looped over, where that is plain."""

    kind: BindingKind
    node: ast.AST
    value: ast.expr | None = None
    origin: str | None = None  # of an import: the module, or module.name


class Scope(Struct, eq=False):
    node: ScopeNode
    parent: Scope | None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)

    @property
    def module(self) -> Scope:
        return self if self.parent is None else self.parent.module

    @property
    def function(self) -> Scope:
        """The innermost function, class or module around: what runs the code of this scope."""
        return self.parent.function if self.parent is not None and isinstance(self.node, Comprehension) else self

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope that owns a name as it is seen from here; None for a builtin or an unknown one."""
        scope = self
        while scope.parent is not None and name not in scope.globals:
            if name in scope.bindings and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return scope, scope.bindings[name]
            scope = scope.parent
        module = scope.module
        if name in module.bindings:
            return (module, module.bindings[name])
        return None


class Scopes(ast.NodeVisitor):
    """Every node's scope; `by_node` has the scope that a function, class or comprehension opens."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree, None)
        self.by_node: dict[ast.AST, Scope] = {tree: self.module}
        self.of: dict[ast.AST, Scope] = {}
        self.parents: dict[ast.AST, ast.AST] = dict.fromkeys(tree.body, tree)
        self._scope = self.module
        self._all(tree.body)

    def bindings(self, node: ast.AST) -> list[Binding]:
        """The bindings that give a plain name its meaning; none for a builtin, and for what is no name."""
        scope = self.of.get(node)
        if scope is not None and isinstance(node, ast.Name):
            found = scope.find(node.id)
        else:
            found = None
        if found is not None:
            return found[1]
        return []

    def visible(self, node: ast.AST) -> list[str]:
        """The program's own names that a place sees."""
        scope = self.of.get(node)
        found = list[str]()
        while scope is not None:
            found += scope.bindings if not isinstance(scope.node, ast.ClassDef) else ()
            scope = scope.parent
        return found

    def is_caught(self, node: ast.AST, *errors: str) -> bool:
        """True if it stands in a `try` that catches one of these errors by its name, or all."""
        parent = self.parents.get(node)
        while parent is not None:
            for kind in [h.type for h in parent.handlers] if isinstance(parent, ast.Try) else ():
                if kind is None or any(isinstance(n, ast.Name) and n.id in errors for n in ast.walk(kind)):
                    return True
            parent = self.parents.get(parent)
        return False

    def visit(self, node: ast.AST) -> None:
        if node in self.of:
            return
        self.of[node] = self._scope
        for child in ast.iter_child_nodes(node):
            self.parents[child] = node
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._bind(node.name, Binding("def", node))
                self._all(node.decorator_list)
                self._function(node, node.args, node.body)
            case ast.Lambda():
                self._function(node, node.args, (node.body,))
            case ast.ClassDef():
                self._bind(node.name, Binding("class", node))
                self._all((*node.decorator_list, *node.bases, *node.keywords))
                self._inside(node, node.body)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                first = node.generators[0]
                self.parents[first.iter] = first
                self.visit(first.iter)  # outside: it is computed before
                results = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
                self._inside(node, (*node.generators, *results))
            case ast.Global(names=names):
                self._scope.globals.update(names)
                for name in names:  # the function that says `global` may be the only one that assigns it
                    self.module.bindings.setdefault(name, [])
            case ast.Nonlocal(names=names):
                self._scope.nonlocals.update(names)
            case ast.Import(names=aliases):
                for alias in aliases:
                    if alias.asname:
                        whole = alias.name
                    else:
                        whole = alias.name.partition(".")[0]
                    self._bind(alias.asname or whole, Binding("import", node, origin=canonical(whole)))
            case ast.ImportFrom(names=aliases):
                for alias in aliases:
                    origin = f"{canonical(node.module or '')}.{alias.name}"
                    self._bind(alias.asname or alias.name, Binding("import", node, origin=origin))
            case ast.ExceptHandler(name=str(name)):
                self.generic_visit(node)
                self._bind(name, Binding("other", node))
            case ast.Name(id=name, ctx=ast.Store()):
                self._bind(name, self.assigned(node), walrus=isinstance(self.parents[node], ast.NamedExpr))
            case _:
                self.generic_visit(node)

    def _function(self, node: Function, args: ast.arguments, body: Iterable[ast.AST]) -> None:
        self._all((*args.defaults, *(d for d in args.kw_defaults if d is not None)))
        parameters = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        self._inside(node, body, [arg for arg in parameters if arg is not None])

    def _inside(self, node: ScopeNode, body: Iterable[ast.AST], parameters: Iterable[ast.arg] = ()) -> None:
        outer = self._scope
        self._scope = Scope(node, self._scope)
        self.by_node[node] = self._scope
        for arg in parameters:
            self._bind(arg.arg, Binding("param", arg))
        self._all(body)
        self._scope = outer

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _bind(self, name: str, binding: Binding, *, walrus: bool = False) -> None:
        scope = self._scope.function if walrus else self._scope
        owner = scope.module if name in scope.globals else scope
        if name in scope.nonlocals and scope.parent is not None:
            found = scope.parent.find(name)
            if found is not None:
                owner = found[0]
        owner.bindings.setdefault(name, []).append(binding)

    def assigned(self, target: ast.expr) -> Binding:
        """The binding that a statement gives to a name in its target."""
        parent = self.parents[target]
        match parent:
            case ast.Assign(value=value) | ast.NamedExpr(value=value):
                return Binding("value", parent, value)
            case ast.For(iter=value):
                return Binding("loop", parent, value)
            case ast.comprehension(iter=value):
                return Binding("loop", self.parents[parent], value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                whole = self.assigned(parent)
                if whole.kind == "value" and isinstance(whole.value, ast.Tuple) and len(whole.value.elts) == len(parts):
                    return Binding("value", whole.node, whole.value.elts[parts.index(target)])
                return Binding("other", whole.node)
            case ast.Starred():
                return Binding("other", self.assigned(parent).node)
            case _:
                return Binding("other", parent)


def canonical(module: str) -> str:
    """A module's name without the `u` of older MicroPython programs: "utime" is "time"."""
    top, dot, rest = module.partition(".")
    return (top[1:] if top[:1] == "u" and top[1:] in stock_image().with_u else top) + dot + rest
