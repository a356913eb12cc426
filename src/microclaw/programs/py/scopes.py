"""The meaning of each name at its place: the scopes of a program as Python has them. Judges nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct, field

from microclaw.hardware.boards.micropython.stock import stock_image

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
ScopeNode: TypeAlias = ast.Module | ast.ClassDef | Function | Comprehension
T = TypeVar("T")
IMPORT_ERRORS: Final = ("ImportError", "Exception", "BaseException")
"""The errors of which a `try` around an import catches one."""
BindingKind: TypeAlias = Literal["param", "def", "class", "import", "value", "loop", "other"]


class Binding(Struct, frozen=True):
    """One place that gives a name its meaning.

    `value`: what is assigned or looped over, if that is plain. `origin`, of an import: the module, or module.name.
    """

    kind: BindingKind
    node: ast.AST
    value: ast.expr | None = None
    origin: str | None = None


class Scope(Struct, eq=False):
    """The names that a module, class, function or comprehension binds."""

    node: ScopeNode
    parent: Scope | None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)

    @property
    def module(self) -> Scope:
        if self.parent is None:
            return self
        return self.parent.module

    @property
    def function(self) -> Scope:
        """The innermost function, class or module around: what runs the code of this scope."""
        if self.parent is None or not isinstance(self.node, Comprehension):
            return self
        return self.parent.function

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """Return the scope that owns a name as it is seen from here; None for a builtin or an unknown one."""
        scope = self
        while scope.parent is not None and name not in scope.globals:
            is_seen = scope is self or not isinstance(scope.node, ast.ClassDef)
            if is_seen and name in scope.bindings:
                return scope, scope.bindings[name]
            scope = scope.parent
        module = scope.module
        if name in module.bindings:
            return module, module.bindings[name]
        return None


class Scopes(ast.NodeVisitor):
    """Every node's scope; `by_node` has the scope that a function, class or comprehension opens."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree, None)
        self.by_node: dict[ast.AST, Scope] = {tree: self.module}
        self.of: dict[ast.AST, Scope] = {}
        self.parents: dict[ast.AST, ast.AST] = dict.fromkeys(tree.body, tree)
        # All names of the text; of attributes only those that are bound in a class.
        self.words: set[str] = set()
        self._answers: dict[tuple[object, int], Any] = {}
        self._scope = self.module
        self._all(tree.body)

    def bindings(self, node: ast.AST) -> list[Binding]:
        """Return the bindings that give a plain name its meaning; none for a builtin, and for other nodes."""
        if not isinstance(node, ast.Name):
            return []
        owner = self.owner(node, node.id)
        if owner is None:
            return []
        return owner[1]

    def owner(self, node: ast.AST, name: str) -> tuple[Scope, list[Binding]] | None:
        """Return the scope that owns a name at a node, with its bindings; None for a builtin or an unknown name.

        In the body of a class a name is the module's until the class binds it, as in `speed = speed`.
        """
        scope = self.of.get(node)
        if scope is None:
            return None
        owner = scope.find(name)
        if owner is None or owner[0] is not scope or not isinstance(scope.node, ast.ClassDef):
            return owner
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            return owner
        if any(_is_bound_before(binding, node) for binding in owner[1]):
            return owner
        return self.module.find(name)

    def answer_once(self, question: object, values: Collection[Any], answer: Callable[[], T], *, unknown: T) -> T:
        """Return the answer to a question about bindings or values that stay the same; it is computed once.

        A name may have thousands of each. The answer is `unknown` if there are none, and where it depends on itself.
        """
        key = (question, id(values))
        if values and key not in self._answers:
            self._answers[key] = unknown
            self._answers[key] = answer()
        known: T = self._answers.get(key, unknown)
        return known

    def visible(self, node: ast.AST) -> list[str]:
        """Return the program's own names that a place sees."""
        scope = self.of.get(node)
        names: list[str] = []
        while scope is not None:
            if not isinstance(scope.node, ast.ClassDef):
                names += scope.bindings
            scope = scope.parent
        return names

    def is_caught(self, node: ast.AST, *errors: str) -> bool:
        """Return True if it is in a `try` that catches one of these errors by its name, or all.

        A `try` around a function catches nothing of what the function does later.
        """
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(parent, ast.Try) and _catches(parent, errors):
                return True
            parent = self.parents.get(parent)
        return False

    def visit(self, node: ast.AST) -> None:
        if node in self.of:
            return
        self.of[node] = self._scope
        for child in ast.iter_child_nodes(node):
            self.parents[child] = node
        # By NodeVisitor to the method of this kind of node.
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name, Binding("def", node))
        self._all(node.decorator_list)
        self._function(node, node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, node.args, (node.body,))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name, Binding("class", node))
        self._all((*node.decorator_list, *node.bases, *node.keywords))
        self._inside(node, node.body)

    def visit_ListComp(self, node: Comprehension) -> None:
        first = node.generators[0]
        self.parents[first.iter] = first
        # Outside: it is computed before.
        self.visit(first.iter)
        results: tuple[ast.expr, ...]
        if isinstance(node, ast.DictComp):
            results = (node.key, node.value)
        else:
            results = (node.elt,)
        self._inside(node, (*node.generators, *results))

    visit_SetComp = visit_ListComp
    visit_DictComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.globals.update(node.names)
        # The function that says `global` may be the only one that assigns it.
        for name in node.names:
            self.module.bindings.setdefault(name, [])

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._scope.nonlocals.update(node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            module = alias.name
            if not alias.asname:
                module = alias.name.partition(".")[0]
            self._bind(alias.asname or module, Binding("import", node, origin=canonical(module)))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            origin = f"{canonical(node.module or '')}.{alias.name}"
            self._bind(alias.asname or alias.name, Binding("import", node, origin=origin))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self._bind(node.name, Binding("other", node))

    def visit_Name(self, node: ast.Name) -> None:
        self.words.add(node.id)
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id, self.assigned(node), walrus=isinstance(self.parents[node], ast.NamedExpr))
        else:
            self.generic_visit(node)

    def _function(self, node: Function, args: ast.arguments, body: Iterable[ast.AST]) -> None:
        self._all((*args.defaults, *filter(None, args.kw_defaults)))
        parameters = (*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg)
        self._inside(node, body, filter(None, parameters))

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
        self.words.add(name)
        scope = self._scope
        if walrus:
            scope = scope.function
        owner = scope
        if name in scope.globals:
            owner = scope.module
        if name in scope.nonlocals and scope.parent is not None:
            outer = scope.parent.find(name)
            if outer is not None:
                owner = outer[0]
        owner.bindings.setdefault(name, []).append(binding)

    def assigned(self, target: ast.expr) -> Binding:
        """Return the binding that a statement gives to a name in its target."""
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
                values: list[ast.expr] = []
                if whole.kind == "value" and isinstance(whole.value, ast.Tuple):
                    values = whole.value.elts
                if len(values) == len(parts):
                    return Binding("value", whole.node, values[parts.index(target)])
                return Binding("other", whole.node)
            case ast.Starred():
                return Binding("other", self.assigned(parent).node)
            case _:
                return Binding("other", parent)


def _is_bound_before(binding: Binding, node: ast.Name) -> bool:
    """Return True if a binding has ended before a node begins, or if that is not known, as in the text of a driver."""
    end_line = getattr(binding.node, "end_lineno", None)
    if binding.kind not in ("value", "def", "class") or end_line is None or node.lineno < 0:
        return True
    end_column: int = getattr(binding.node, "end_col_offset", 0)
    return (end_line, end_column) <= (node.lineno, node.col_offset)


def canonical(module: str) -> str:
    """Return a module's name without the `u` of older MicroPython programs: "utime" is "time"."""
    top = module.partition(".")[0]
    if top.startswith("u") and top[1:] in stock_image().with_u:
        return module[1:]
    return module


def _catches(node: ast.Try, errors: Collection[str]) -> bool:
    """Return True if a handler catches one of these errors by its name, or all."""
    for handler in node.handlers:
        if handler.type is None:
            return True
        for name in ast.walk(handler.type):
            if isinstance(name, ast.Name) and name.id in errors:
                return True
    return False
