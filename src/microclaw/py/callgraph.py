"""Which functions a call may reach: a program's functions, its classes, and what each name can stand for.

Sound rather than sharp: where it cannot tell, a call may reach every function that the program uses as a value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from microclaw.py.scopes import Binding, Function, Scope, Scopes

BUILTIN: Final = "builtins"
_PLAIN_DECORATORS: Final = frozenset({"builtins.staticmethod", "builtins.classmethod", "builtins.property"})
_EMITTERS: Final = ("micropython.native", "micropython.viper", "micropython.bytecode")
WAITING_ORIGINS: Final = frozenset({"time.sleep", "time.sleep_ms", "time.sleep_us", "microclaw.sleep", "asyncio.run"})
_FOLLOW: Final = 8  # assignments from name to name that are followed


@dataclass(eq=False, slots=True)
class Callable:
    """A function, method or lambda of the program."""

    node: Function
    name: str
    owner: Class | None = None
    is_generator: bool = False
    is_property: bool = False
    is_compiled: bool = False  # @micropython.native or viper
    is_wrapped: bool = False  # by a decorator of the program: its name stands for what that returned
    escapes: bool = False  # used as a value: any call of an unknown function may reach it

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)


@dataclass(eq=False, slots=True)
class Class:
    node: ast.ClassDef
    bases: list[Class] = field(default_factory=list)
    heirs: list[Class] = field(default_factory=list)
    native_bases: list[ast.expr] = field(default_factory=list)
    methods: dict[str, list[Callable]] = field(default_factory=dict)
    escapes: list[ast.AST] = field(default_factory=list)  # places where it is used as a value

    def family(self) -> list[Class]:
        """Every class that shares an ancestor or an heir with this one, itself included."""
        found: list[Class] = [self]
        for one in found:
            found.extend(c for c in (*one.bases, *one.heirs) if c not in found)
        return found

    def ancestors(self) -> list[Class]:
        found: list[Class] = []
        waiting = list(self.bases)
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found.append(one)
                waiting.extend(one.bases)
        return found


@dataclass(slots=True)
class Reach:
    """What a call may reach: functions of the program, one class, native code."""

    functions: list[Callable] = field(default_factory=list)
    made: Class | None = None
    native: bool = False
    unknown: bool = False

    def add(self, other: Reach) -> None:
        self.functions.extend(f for f in other.functions if f not in self.functions)
        self.made = self.made or other.made
        self.native, self.unknown = self.native or other.native, self.unknown or other.unknown


class CallGraph:
    def __init__(self, tree: ast.Module, scopes: Scopes) -> None:
        self.tree, self.scopes = tree, scopes
        self.functions: dict[ast.AST, Callable] = {}
        self.classes: dict[ast.AST, Class] = {}
        self.methods: dict[str, list[Callable]] = {}
        self.assigned_attributes: dict[str, list[ast.expr]] = {}
        self.calls: list[ast.Call] = []
        self._origins: dict[ast.Name, str | None] = {}
        self.reached: dict[ast.expr, Reach] | None = None  # answers, kept once it is known what escapes
        self._collect()
        self._join_classes()
        self._attributes = {name for name, values in self.assigned_attributes.items() if any(map(self._maybe, values))}

    def origin(self, node: ast.expr, depth: int = 0) -> str | None:
        """The dotted name of native code that an expression stands for: "time.sleep", "machine.Pin", "builtins.len"."""
        if isinstance(node, ast.Attribute):
            base = self.origin(node.value, depth)
            return f"{base}.{node.attr}" if base is not None and not base.startswith(f"{BUILTIN}.") else None
        if not isinstance(node, ast.Name) or depth > _FOLLOW:
            return None
        if node not in self._origins:
            self._origins[node] = None  # a name that is defined by itself has none
            self._origins[node] = self._name_origin(node, depth)
        return self._origins[node]

    def _name_origin(self, node: ast.Name, depth: int) -> str | None:
        if (scope := self.scopes.of.get(node)) is None:
            return None
        found = scope.find(node.id)
        if found is None:
            return f"{BUILTIN}.{node.id}"
        origins = {self._binding_origin(b, depth) for b in found[1] if not _is_none(b.value)}
        return origins.pop() if len(origins) == 1 else None

    def reach(self, func: ast.expr) -> Reach:
        """What a call of this expression may reach."""
        if self.reached is None:
            return self._reach(func, 0)
        if func not in self.reached:
            self.reached[func] = self._reach(func, 0)
        return self.reached[func]

    def by_owner(self, node: ast.AST) -> Callable | None:
        """The function whose code a node belongs to; None for the module's (and class bodies at its level)."""
        scope: Scope | None = self.scopes.of.get(node)
        while scope is not None:
            if (found := self.functions.get(scope.node)) is not None:
                return found
            scope = scope.parent
        return None

    def escaped(self) -> list[Callable]:
        return [f for f in self.functions.values() if f.escapes]

    def _collect(self) -> None:
        for node, scope in list(self.scopes.of.items()):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    self._add_function(node, scope)
                case ast.ClassDef():
                    self.classes[node] = Class(node)
                case ast.Call():
                    self.calls.append(node)
                    if self.origin(node.func) == "builtins.setattr" and len(node.args) == 3:
                        name = node.args[1].value if isinstance(node.args[1], ast.Constant) else "*"
                        self.assigned_attributes.setdefault(str(name), []).append(node.args[2])
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._note_attributes(target, value, scope)
                case ast.AugAssign(target=target) | ast.For(target=target):
                    self._note_attributes(target, None, scope)
                case _:
                    continue
        for function in self.functions.values():
            function.is_generator = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in self.own_nodes(function.node))

    def own_nodes(self, node: ast.AST) -> Iterator[ast.AST]:
        """What runs when a function (or the module) runs: not what its nested functions and classes' methods do."""
        waiting: list[ast.AST] = (
            [*node.body] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module) else []
        )
        if isinstance(node, ast.Lambda):
            waiting = [node.body]
        while waiting:
            one = waiting.pop()
            yield one
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting += [*one.decorator_list, *one.args.defaults, *(d for d in one.args.kw_defaults if d)]
            elif isinstance(one, ast.Lambda):
                waiting += [*one.args.defaults, *(d for d in one.args.kw_defaults if d)]
            else:
                waiting += ast.iter_child_nodes(one)

    def _add_function(self, node: Function, scope: Scope) -> None:
        found = self.functions[node] = Callable(node, "lambda" if isinstance(node, ast.Lambda) else node.name)
        if isinstance(node, ast.Lambda):
            return
        for decorator in node.decorator_list:
            origin = self.origin(decorator)
            attribute = decorator.attr if isinstance(decorator, ast.Attribute) else None
            if origin == "builtins.property" or attribute in ("setter", "getter", "deleter"):
                found.is_property = True
            elif origin in _EMITTERS:
                found.is_compiled = origin != "micropython.bytecode"
            elif origin not in _PLAIN_DECORATORS:
                found.is_wrapped = found.escapes = True
        if isinstance(scope.node, ast.ClassDef):
            self.methods.setdefault(node.name, []).append(found)

    def _join_classes(self) -> None:
        for node, found in self.classes.items():
            assert isinstance(node, ast.ClassDef)
            for base in node.bases:
                known = self._class_of(base)
                if known is None:
                    if self.origin(base) != "builtins.object":
                        found.native_bases.append(base)
                else:
                    found.bases.append(known)
                    known.heirs.append(found)
            for statement in ast.walk(node):
                if (method := self.functions.get(statement)) is not None and self.scopes.of[statement].node is node:
                    method.owner = found
                    found.methods.setdefault(method.name, []).append(method)

    def _class_of(self, node: ast.expr) -> Class | None:
        found = self._bindings(node)
        return self.classes.get(found[0].node) if len(found) == 1 else None

    def _bindings(self, node: ast.expr) -> list[Binding]:
        if not isinstance(node, ast.Name) or (scope := self.scopes.of.get(node)) is None:
            return []
        found = scope.find(node.id)
        return found[1] if found is not None else []

    def _binding_origin(self, binding: Binding, depth: int) -> str | None:
        if binding.kind == "import":
            return binding.origin
        if binding.kind == "value" and isinstance(binding.value, ast.Name | ast.Attribute):
            return self.origin(binding.value, depth + 1)
        return None

    def _reach(self, func: ast.expr, depth: int) -> Reach:
        match func:
            case ast.Lambda():
                return Reach([self.functions[func]])
            case ast.Name():
                return self._reach_name(func, depth)
            case ast.Attribute():
                return self._reach_attribute(func)
            case _:
                return Reach(self.escaped(), native=True, unknown=True)

    def _reach_name(self, name: ast.Name, depth: int) -> Reach:
        if self.origin(name) is not None:
            return Reach(native=True)
        reach = Reach()
        for binding in self._bindings(name):
            function, made = self.functions.get(binding.node), self.classes.get(binding.node)
            if binding.kind == "def" and function is not None and not function.is_wrapped:
                reach.add(Reach([function]))
            elif binding.kind == "class" and made is not None and not made.node.decorator_list:
                reach.add(Reach(made=made))
            elif binding.kind == "import":
                reach.add(Reach(native=True))
            elif binding.kind == "value" and isinstance(binding.value, ast.Lambda | ast.Name) and depth < _FOLLOW:
                reach.add(self._reach(binding.value, depth + 1))
            elif not _is_none(binding.value):
                reach.add(Reach(self.escaped(), native=True, unknown=True))
        if reach.made is not None and (reach.functions or reach.native or len(self._bindings(name)) > 1):
            reach.unknown = True  # one of several things: `new` could not be told from a plain call
        return reach

    def _reach_attribute(self, func: ast.Attribute) -> Reach:
        if self.origin(func) is not None:
            return Reach(native=True)
        name, reach = func.attr, Reach()
        classes = self.receiver(func.value)
        if classes is not None:
            reach.functions = [m for c in classes for m in c.methods.get(name, ())]
            reach.native = not reach.functions or any(c.native_bases for c in classes)
        else:
            reach.functions, reach.native = list(self.methods.get(name, ())), True
        if name in self._attributes or "*" in self._attributes or any(f.is_wrapped for f in reach.functions):
            reach.add(Reach(self.escaped(), native=True, unknown=True))
        for found in self.classes.values():  # a class kept in a class: Outer.Inner()
            if found.node.name == name and isinstance(self.scopes.of[found.node].node, ast.ClassDef):
                reach.made, reach.unknown = found, True
        return reach

    def receiver(self, node: ast.expr) -> list[Class] | None:
        """The classes that an attribute is looked up in: of `self`, `super()` and a class's own name."""
        if (known := self._class_of(node)) is not None:
            return [known, *known.ancestors()]
        if isinstance(node, ast.Call) and self.origin(node.func) == "builtins.super":
            owner = self._method_owner(node)
            return owner.ancestors() if owner is not None else None
        if (
            isinstance(node, ast.Call)
            and (made := self._class_of(node.func)) is not None
            and not made.node.decorator_list
        ):
            return [made, *made.ancestors()]
        if not isinstance(node, ast.Name) or len(bindings := self._bindings(node)) != 1:
            return None
        if bindings[0].kind == "value" and isinstance(bindings[0].value, ast.Call):
            made = self._class_of(bindings[0].value.func)
            return [made, *made.ancestors()] if made is not None and not made.node.decorator_list else None
        owner = self._method_owner(node)
        if owner is None or bindings[0].kind != "param":
            return None
        method = next((m for ms in owner.methods.values() for m in ms if _first_arg(m) is bindings[0].node), None)
        return owner.family() if method is not None else None

    def _method_owner(self, node: ast.AST) -> Class | None:
        scope: Scope | None = self.scopes.of.get(node)
        while scope is not None:
            found = self.functions.get(scope.node)
            if found is not None and found.owner is not None:
                return found.owner
            scope = scope.parent
        return None

    def _note_attributes(self, target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
        if isinstance(target, ast.Attribute):
            self.assigned_attributes.setdefault(target.attr, []).append(value or target)
        elif isinstance(target, ast.Name) and isinstance(scope.node, ast.ClassDef):
            self.assigned_attributes.setdefault(target.id, []).append(value or target)
        elif isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) else None
            for n, part in enumerate(target.elts):
                self._note_attributes(part, values[n] if values is not None else None, scope)

    def _maybe(self, value: ast.expr) -> bool:
        """Whether a value may be something of the program that can be called."""
        match value:
            case (
                ast.Constant() | ast.BinOp() | ast.UnaryOp() | ast.Compare() | ast.JoinedStr() | ast.List() | ast.Dict()
            ):
                return False
            case ast.Tuple() | ast.Set() | ast.ListComp() | ast.DictComp() | ast.SetComp() | ast.GeneratorExp():
                return False
            case ast.Call(func=func):
                return self.origin(func) is None and self._class_of(func) is None
            case ast.Name() | ast.Attribute():
                return (origin := self.origin(value)) is None or origin in WAITING_ORIGINS
            case ast.BoolOp(values=parts):
                return any(map(self._maybe, parts))
            case ast.IfExp(body=first, orelse=second):
                return self._maybe(first) or self._maybe(second)
            case _:
                return True


def _first_arg(function: Callable) -> ast.arg | None:
    args = [*function.node.args.posonlyargs, *function.node.args.args]
    static = any(
        isinstance(d, ast.Name) and d.id == "staticmethod" for d in getattr(function.node, "decorator_list", ())
    )
    return args[0] if args and not static else None


def _is_none(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
