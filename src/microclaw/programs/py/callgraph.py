"""Finds the functions that a call may reach: a program's functions, its classes, and what each name can stand for.

Sound rather than sharp: where it cannot tell, a call may reach every function that the program uses as a value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Final, TypeAlias

from msgspec import Struct, field

from microclaw.programs.py.scopes import Binding, Function, Scope, Scopes

BUILTIN: Final = "builtins"
WAITING_ORIGINS: Final = frozenset({"time.sleep", "time.sleep_ms", "time.sleep_us", "microclaw.sleep", "asyncio.run"})
Loop: TypeAlias = ast.While | ast.For | ast.AsyncFor
_PLAIN_DECORATORS: Final = frozenset({"builtins.staticmethod", "builtins.classmethod", "micropython.bytecode"})
_COMPILED: Final = frozenset({"micropython.native", "micropython.viper"})
_FOLLOW: Final = 8  # assignments from name to name that are followed
_DATA: Final = (
    *(ast.Constant, ast.JoinedStr, ast.BinOp, ast.UnaryOp, ast.Compare, ast.List, ast.Tuple, ast.Dict, ast.Set),
    *(ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp),
)


class Callable(Struct, eq=False):
    """A function, method or lambda of the program."""

    node: Function
    owner: Class | None = None
    is_generator: bool = False
    is_property: bool = False
    is_compiled: bool = False  # @micropython.native or viper
    is_wrapped: bool = False  # by a decorator of the program: its name stands for what that returned
    escapes: bool = False  # used as a value: any call of an unknown function may reach it

    @property
    def name(self) -> str:
        return getattr(self.node, "name", "lambda")

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)


class Class(Struct, eq=False):
    node: ast.ClassDef
    bases: list[Class] = field(default_factory=list)
    heirs: list[Class] = field(default_factory=list)
    native_bases: list[ast.expr] = field(default_factory=list)
    methods: dict[str, list[Callable]] = field(default_factory=dict)
    escapes: list[ast.AST] = field(default_factory=list)  # places where it is used as a value

    def with_ancestors(self, *, heirs: bool = False) -> list[Class]:
        """This class and its ancestors; with `heirs` every class that shares an ancestor or an heir with it."""
        found = [self]
        for one in found:
            found.extend(c for c in (*one.bases, *(one.heirs if heirs else ())) if c not in found)
        return found


class Reach(Struct):
    """The targets of a call: functions of the program, one class, native code, or anything that is used as a value."""

    functions: list[Callable] = field(default_factory=list)
    made: Class | None = None
    native: bool = False
    unknown: bool = False

    def add(self, other: Reach) -> None:
        self.functions.extend(f for f in other.functions if f not in self.functions)
        self.made = self.made or other.made
        self.native = self.native or other.native
        self.unknown = self.unknown or other.unknown


class PyCallGraph:
    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self.functions: dict[ast.AST, Callable] = {}
        self.classes: dict[ast.AST, Class] = {}
        self.methods: dict[str, list[Callable]] = {}
        self.assigned_attributes: dict[str, list[ast.expr]] = {}
        self.calls: list[ast.Call] = []
        self._origins: dict[object, str | None] = {}  # by a name and its bindings, which may be thousands
        self.reached: dict[ast.expr, Reach] = {}  # answers: void when more escapes
        for node in scopes.of:
            self._collect(node)
        for made in self.classes.values():
            self._join(made)
        self._attributes = {name for name, values in self.assigned_attributes.items() if any(map(self._maybe, values))}

    def origin(self, node: ast.expr, depth: int = 0) -> str | None:
        """The dotted name of native code that an expression stands for: "time.sleep", "machine.Pin", "builtins.len"."""
        if isinstance(node, ast.Attribute):
            base = self.origin(node.value, depth)
            if base is not None and not base.startswith(f"{BUILTIN}."):
                return f"{base}.{node.attr}"
            return None
        if not isinstance(node, ast.Name) or depth > _FOLLOW:
            return None
        bindings = self.scopes.bindings(node)
        key = (node.id, id(bindings)) if bindings else node
        if key not in self._origins:
            self._origins[key] = None  # a name that is defined by itself has none
            self._origins[key] = self._name_origin(node, depth)
        return self._origins[key]

    def made_by(self, node: ast.expr, origins: frozenset[str]) -> bool:
        """True if an expression, or something that its name was given, is a call of one of these."""
        if isinstance(node, ast.Call):
            return self.origin(node.func) in origins
        given = [b.value for b in self.scopes.bindings(node)]
        return any(isinstance(value, ast.Call) and self.made_by(value, origins) for value in given)

    def text(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """The text that an expression stands for, or a name that is given this alone; None where none is known."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if node is not None and depth <= _FOLLOW:
            bindings = self.scopes.bindings(node)
        else:
            bindings = []
        if [b.kind for b in bindings] == ["value"]:
            return self.text(bindings[0].value, depth + 1)
        return None

    def reach(self, func: ast.expr) -> Reach:
        """Return what a call of this expression may reach."""
        if func not in self.reached:
            self.reached[func] = self._reach(func, 0)
        return self.reached[func]

    def receiver(self, node: ast.expr) -> list[Class] | None:
        """The classes that an attribute is looked up in: of `self`, `super()`, a class's name, an object just made."""
        known = self._class_of(node)
        if known is not None:
            return known.with_ancestors()
        owner = next((f.owner for f in self._around(node) if f.owner is not None), None)
        bindings = self.scopes.bindings(node)
        if len(bindings) == 1:
            bound = bindings[0]
        else:
            bound = None
        if isinstance(node, ast.Call) and self.origin(node.func) == "builtins.super":
            if owner is not None:
                return owner.with_ancestors()[1:]
            return None
        made = bound.value if bound is not None and bound.kind == "value" else node
        if isinstance(made, ast.Call):
            known = self._class_of(made.func)
            if known is not None and not known.node.decorator_list:
                return known.with_ancestors()
            return None
        if owner is None or bound is None or bound.kind != "param":
            return None
        is_self = any(_first_arg(m) is bound.node for methods in owner.methods.values() for m in methods)
        if is_self:
            return owner.with_ancestors(heirs=True)
        return None

    def by_owner(self, node: ast.AST) -> Callable | None:
        """The function whose code a node belongs to; None for the module's (and class bodies at its level)."""
        return next(self._around(node), None)

    def _around(self, node: ast.AST) -> Iterator[Callable]:
        scope: Scope | None = self.scopes.of.get(node)
        while scope is not None:
            found = self.functions.get(scope.node)
            if found is not None:
                yield found
            scope = scope.parent

    def _collect(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._add_function(node)
            case ast.ClassDef():
                self.classes[node] = Class(node)
            case ast.Call():
                self.calls.append(node)
                if self.origin(node.func) == "builtins.setattr" and len(node.args) == 3:
                    name = node.args[1].value if isinstance(node.args[1], ast.Constant) else "*"
                    self.assigned_attributes.setdefault(str(name), []).append(node.args[2])
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                if isinstance(node, ast.Attribute) or isinstance(self.scopes.of[node].node, ast.ClassDef):
                    bound = self.scopes.assigned(node)
                    value = bound.value if bound.kind == "value" else None
                    self.assigned_attributes.setdefault(name, []).append(value if value is not None else node)
            case _:
                return

    def _add_function(self, node: Function) -> None:
        is_generator = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in run_by(node))
        found = self.functions[node] = Callable(node, is_generator=is_generator)
        if isinstance(node, ast.Lambda):
            return
        for decorator in node.decorator_list:
            origin = self.origin(decorator)
            attribute = None
            if isinstance(decorator, ast.Attribute):
                attribute = decorator.attr
            if origin == "builtins.property" or attribute in ("setter", "getter", "deleter"):
                found.is_property = True
            elif origin in _COMPILED:
                found.is_compiled = True
            elif origin not in _PLAIN_DECORATORS:
                found.is_wrapped = found.escapes = True
        owner = self.classes.get(self.scopes.of[node].node)
        if owner is not None:
            found.owner = owner
            for methods in (owner.methods, self.methods):
                methods.setdefault(node.name, []).append(found)

    def _join(self, found: Class) -> None:
        for base in found.node.bases:
            known = self._class_of(base)
            if known is not None:
                found.bases.append(known)
                known.heirs.append(found)
            elif self.origin(base) != "builtins.object":
                found.native_bases.append(base)

    def _class_of(self, node: ast.expr) -> Class | None:
        found = self.scopes.bindings(node)
        if len(found) == 1:
            return self.classes.get(found[0].node)
        return None

    def _name_origin(self, node: ast.Name, depth: int) -> str | None:
        scope = self.scopes.of.get(node)
        if scope is not None and scope.find(node.id) is None:
            return f"{BUILTIN}.{node.id}"
        known = [b for b in self.scopes.bindings(node) if not is_none(b.value)]
        origins = {self._binding_origin(b, depth) for b in known}
        if len(origins) == 1:
            return origins.pop()
        return None

    def _binding_origin(self, binding: Binding, depth: int) -> str | None:
        if binding.kind == "value" and isinstance(binding.value, ast.Name | ast.Attribute):
            return self.origin(binding.value, depth + 1)
        return binding.origin

    def _anything(self) -> Reach:
        return Reach([f for f in self.functions.values() if f.escapes], native=True, unknown=True)

    def _reach(self, func: ast.expr, depth: int) -> Reach:
        if self.origin(func) is not None:
            return Reach(native=True)
        match func:
            case ast.Lambda():
                return Reach([self.functions[func]])
            case ast.Attribute():
                return self._reach_attribute(func)
            case ast.Name():
                return self._reach_name(func, depth)
            case _:
                return self._anything()

    def _reach_name(self, name: ast.Name, depth: int) -> Reach:
        reach = Reach()
        bindings = self.scopes.bindings(name)
        for binding in bindings:
            function = self.functions.get(binding.node)
            made = self.classes.get(binding.node)
            if function is not None and not function.is_wrapped:
                reach.add(Reach([function]))
            elif made is not None and not made.node.decorator_list:
                reach.add(Reach(made=made))
            elif binding.kind == "import":
                reach.add(Reach(native=True))
            elif binding.kind == "value" and isinstance(binding.value, ast.Lambda | ast.Name) and depth < _FOLLOW:
                reach.add(self._reach(binding.value, depth + 1))
            elif not is_none(binding.value):
                reach.add(self._anything())
        if reach.made is not None and (reach.functions or reach.native or len(bindings) > 1):
            reach.unknown = True  # one of several things: `new` could not be told from a plain call
        return reach

    def _reach_attribute(self, func: ast.Attribute) -> Reach:
        name = func.attr
        classes = self.receiver(func.value)
        if classes is not None:
            reach = Reach([m for c in classes for m in c.methods.get(name, ())])
            reach.native = not reach.functions or any(c.native_bases for c in classes)
        else:
            reach = Reach(list(self.methods.get(name, ())), native=True)
        if name in self._attributes or "*" in self._attributes or any(f.is_wrapped for f in reach.functions):
            reach.add(self._anything())
        for found in self.classes.values():  # a class kept in a class: Outer.Inner()
            if found.node.name == name and isinstance(self.scopes.of[found.node].node, ast.ClassDef):
                reach.made = found
                reach.unknown = True
        return reach

    def _maybe(self, value: ast.expr) -> bool:
        """True if a value may be something of the program that can be called."""
        match value:
            case ast.Call(func=func):
                return self.origin(func) is None and self._class_of(func) is None
            case ast.Name() | ast.Attribute():
                return (origin := self.origin(value)) is None or origin in WAITING_ORIGINS
            case ast.BoolOp(values=parts):
                return any(map(self._maybe, parts))
            case ast.IfExp(body=first, orelse=second):
                return self._maybe(first) or self._maybe(second)
            case _:
                return not isinstance(value, _DATA)


def run_by(node: Function | Loop) -> Iterator[ast.AST]:
    """Yield what runs when a function, or a loop's body, runs: not what its nested functions do."""
    if isinstance(node, ast.Lambda):
        waiting: list[ast.AST] = [node.body]
    else:
        waiting = [*node.body]
    while waiting:
        one = waiting.pop()
        yield one
        if isinstance(one, Function):
            decorators = () if isinstance(one, ast.Lambda) else one.decorator_list
            waiting += [*decorators, *one.args.defaults, *filter(None, one.args.kw_defaults)]
        else:
            waiting += ast.iter_child_nodes(one)


def contains(nodes: Iterable[ast.AST], kinds: type | tuple[type, ...] | UnionType) -> bool:
    """Return True if a node is of one of these kinds."""
    return any(isinstance(node, kinds) for node in nodes)


def constant_integers(nodes: Iterable[ast.expr]) -> list[int] | None:
    """Return the whole numbers that these constants are, or None if one of the nodes is anything else."""
    numbers = []
    for node in nodes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, int):
            return None
        numbers.append(node.value)
    return numbers


def _first_arg(function: Callable) -> ast.arg | None:
    args = function.node.args
    decorators = getattr(function.node, "decorator_list", ())
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in decorators)
    if not static:
        return next(iter((*args.posonlyargs, *args.args)), None)
    return None


def is_none(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
