"""Finds the functions that a call may reach: a program's functions, its classes, and what each name can stand for.

Sound rather than sharp: where it cannot tell, a call may reach every function that the program uses as a value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from msgspec import Struct, field

from microclaw.programs.py.nodes import contains, decorators_of, is_none, run_by
from microclaw.programs.py.scopes import Binding, Function, Scope, Scopes

BUILTIN: Final = "builtins"
_SLEEPS: Final = ("time.sleep", "time.sleep_ms", "time.sleep_us", "microclaw.sleep")
WAITING_ORIGINS: Final = frozenset({*_SLEEPS, "asyncio.run", "socket.getaddrinfo", "microclaw.fetch"})
_PLAIN_DECORATORS: Final = frozenset({"builtins.staticmethod", "builtins.classmethod", "micropython.bytecode"})
_COMPILED: Final = frozenset({"micropython.native", "micropython.viper"})
# Assignments from name to name that are followed.
_FOLLOW: Final = 8
_DATA: Final = (
    *(ast.Constant, ast.JoinedStr, ast.BinOp, ast.UnaryOp, ast.Compare, ast.List, ast.Tuple, ast.Dict, ast.Set),
    *(ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp),
)


class Callable(Struct, eq=False):
    """A function, method or lambda of the program.

    `is_compiled`: it has @micropython.native or viper. `is_wrapped`: its name stands for what a decorator of the
    program returned. `escapes`: it is used as a value, so that any call of an unknown function may reach it.
    """

    node: Function
    owner: Class | None = None
    is_generator: bool = False
    is_property: bool = False
    is_compiled: bool = False
    is_wrapped: bool = False
    escapes: bool = False

    @property
    def name(self) -> str:
        return getattr(self.node, "name", "lambda")

    @property
    def is_async(self) -> bool:
        return isinstance(self.node, ast.AsyncFunctionDef)


class Class(Struct, eq=False):
    """A class of the program. `escapes` are the places that use it as a value."""

    node: ast.ClassDef
    bases: list[Class] = field(default_factory=list)
    heirs: list[Class] = field(default_factory=list)
    native_bases: list[ast.expr] = field(default_factory=list)
    methods: dict[str, list[Callable]] = field(default_factory=dict)
    escapes: list[ast.AST] = field(default_factory=list)

    def with_ancestors(self, *, heirs: bool = False) -> list[Class]:
        """Return this class and its ancestors; with `heirs` every class that shares an ancestor or an heir with it."""
        family = [self]
        members = {self}
        # The list grows while it is read.
        for member in family:
            relatives = [*member.bases]
            if heirs:
                relatives += member.heirs
            for relative in relatives:
                if relative not in members:
                    members.add(relative)
                    family.append(relative)
        return family


class Reach(Struct):
    """The targets of a call: functions of the program, one class, native code, or anything that is used as a value."""

    functions: dict[Callable, None] = field(default_factory=dict)
    made: Class | None = None
    native: bool = False
    unknown: bool = False

    def add(self, other: Reach) -> None:
        self.functions |= other.functions
        self.made = self.made or other.made
        self.native = self.native or other.native
        self.unknown = self.unknown or other.unknown


class PyCallGraph:
    """The functions, classes and calls of a program. `reached` has answers, which are void when more escapes."""

    def __init__(self, scopes: Scopes) -> None:
        self.scopes = scopes
        self.functions: dict[ast.AST, Callable] = {}
        self.classes: dict[ast.AST, Class] = {}
        self.methods: dict[str, list[Callable]] = {}
        # A class may be in a class: Outer.Inner().
        self._inner_classes: dict[str, Class] = {}
        self.assigned_attributes: dict[str, list[ast.expr]] = {}
        self.calls: list[ast.Call] = []
        self.reached: dict[object, Reach] = {}
        self._callers: dict[Callable, list[ast.Call]] | None = None
        # The functions of parameters that have a place.
        self.parameters: dict[ast.AST, Callable] = {}
        for node in scopes.of:
            self._collect(node)
        for defined in self.classes.values():
            self._join(defined)
        # The attributes that may have a function of the program as their value.
        self._attributes = set()
        for name, values in self.assigned_attributes.items():
            if any(map(self._may_be_callable, values)):
                self._attributes.add(name)

    def origin(self, node: ast.expr, depth: int = 0) -> str | None:
        """Return the dotted name of the native code that an expression stands for: "time.sleep", "builtins.len"."""
        if isinstance(node, ast.Attribute):
            base = self.origin(node.value, depth)
            if base is None or base.startswith(f"{BUILTIN}."):
                return None
            return f"{base}.{node.attr}"
        if not isinstance(node, ast.Name) or depth > _FOLLOW:
            return None
        bindings = self.scopes.bindings(node)
        if not bindings and node in self.scopes.of and self.scopes.owner(node, node.id) is None:
            return f"{BUILTIN}.{node.id}"
        return self.scopes.answer_once("origin", bindings, lambda: self._bound_origin(bindings, depth), unknown=None)

    def made_by(self, node: ast.expr, origins: frozenset[str]) -> bool:
        """Return True if an expression, or a value that its name has, is a call of one of these."""
        if isinstance(node, ast.Call):
            return self.origin(node.func) in origins
        bindings = self.scopes.bindings(node)
        return self.scopes.answer_once(origins, bindings, lambda: self._is_made_by(bindings, origins), unknown=False)

    def text(self, node: ast.expr | None, depth: int = 0) -> str | None:
        """Return the text that an expression stands for, or a name with only this value; None if it is unknown."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if node is None or depth > _FOLLOW:
            return None
        bindings = self.scopes.bindings(node)
        if len(bindings) == 1 and bindings[0].kind == "value":
            return self.text(bindings[0].value, depth + 1)
        return None

    def reach(self, func: ast.expr, depth: int = 0) -> Reach:
        """Return what a call of this expression may reach."""
        key: object = func
        bindings = self.scopes.bindings(func)
        # All uses of a name have the same bindings, which may be thousands.
        if bindings:
            key = id(bindings)
        if key not in self.reached:
            # A name that is defined by itself may be anything.
            self.reached[key] = self._anything()
            self.reached[key] = self._reach(func, depth)
        return self.reached[key]

    def calls_of(self, function: Callable) -> list[ast.Call]:
        """Return the calls that surely reach a function, or make an object with it."""
        if self._callers is None:
            self._callers = {}
            for call in self.calls:
                reach = self.reach(call.func)
                called = [*reach.functions] if not reach.unknown else []
                if reach.made is not None:
                    called += reach.made.methods.get("__init__", ())
                for other in called:
                    self._callers.setdefault(other, []).append(call)
        return self._callers.get(function, [])

    def receiver(self, node: ast.expr) -> list[Class] | None:
        """Return the classes that an attribute is looked up in, or None if they are unknown.

        They are known of `self`, `super()`, a class's name and an object that was just made.
        """
        named = self._class_of(node)
        if named is not None:
            return named.with_ancestors()
        owner = self._class_around(node)
        if isinstance(node, ast.Call) and self.origin(node.func) == "builtins.super":
            if owner is None:
                return None
            return owner.with_ancestors()[1:]
        binding = self._only_binding(node)
        value: ast.expr | None = node
        if binding is not None and binding.kind == "value":
            value = binding.value
        if isinstance(value, ast.Call):
            called = self._class_of(value.func)
            if called is None or called.node.decorator_list:
                return None
            return called.with_ancestors()
        if owner is None or binding is None or not self._is_self(binding, owner):
            return None
        return owner.with_ancestors(heirs=True)

    def by_owner(self, node: ast.AST) -> Callable | None:
        """Return the function whose code a node belongs to; None for the module's (and class bodies at its level)."""
        return next(self._around(node), None)

    def named_function(self, node: ast.expr) -> ast.FunctionDef | None:
        """Return the function that a name surely stands for, if calling it gives what it returns."""
        binding = self._only_binding(node)
        if binding is None or not isinstance(binding.node, ast.FunctionDef):
            return None
        function = self.functions[binding.node]
        if function.is_wrapped or function.is_generator:
            return None
        return binding.node

    def _class_around(self, node: ast.AST) -> Class | None:
        """Return the class of the innermost method around a node."""
        for function in self._around(node):
            if function.owner is not None:
                return function.owner
        return None

    def _is_self(self, binding: Binding, owner: Class) -> bool:
        """Return True if a binding is the first parameter of a method of a class."""
        function = self.parameters.get(binding.node)
        return function is not None and function.owner is owner and _first_arg(function) is binding.node

    def _only_binding(self, node: ast.AST) -> Binding | None:
        bindings = self.scopes.bindings(node)
        if len(bindings) == 1:
            return bindings[0]
        return None

    def _around(self, node: ast.AST) -> Iterator[Callable]:
        scope: Scope | None = self.scopes.of.get(node)
        while scope is not None:
            function = self.functions.get(scope.node)
            if function is not None:
                yield function
            scope = scope.parent

    def _collect(self, node: ast.AST) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                self._add_function(node)
            case ast.ClassDef():
                self.classes[node] = Class(node)
                if isinstance(self.scopes.of[node].node, ast.ClassDef):
                    self._inner_classes[node.name] = self.classes[node]
            case ast.Call():
                self.calls.append(node)
                if self.origin(node.func) == "builtins.setattr" and len(node.args) == 3:
                    self._set_attribute(node.args[1], node.args[2])
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                if isinstance(node, ast.Attribute) or isinstance(self.scopes.of[node].node, ast.ClassDef):
                    self._assign_attribute(name, node)
            case _:
                return

    def _set_attribute(self, text: ast.expr, value: ast.expr) -> None:
        """Note a value that setattr gives to an attribute; an unknown one is "*"."""
        name = "*"
        if isinstance(text, ast.Constant):
            name = str(text.value)
        self.assigned_attributes.setdefault(name, []).append(value)

    def _assign_attribute(self, name: str, target: ast.Attribute | ast.Name) -> None:
        """Note the value of an attribute, or its target if the value is unknown."""
        binding = self.scopes.assigned(target)
        value: ast.expr = target
        if binding.kind == "value" and binding.value is not None:
            value = binding.value
        self.assigned_attributes.setdefault(name, []).append(value)

    def _add_function(self, node: Function) -> None:
        is_generator = contains(run_by(node), ast.Yield | ast.YieldFrom)
        function = Callable(node, is_generator=is_generator)
        self.functions[node] = function
        for parameter in (*node.args.posonlyargs, *node.args.args):
            self.parameters[parameter] = function
        if isinstance(node, ast.Lambda):
            return
        for decorator in node.decorator_list:
            self._decorate(function, decorator)
        owner = self.classes.get(self.scopes.of[node].node)
        if owner is not None:
            function.owner = owner
            for methods in (owner.methods, self.methods):
                methods.setdefault(node.name, []).append(function)

    def _decorate(self, function: Callable, decorator: ast.expr) -> None:
        origin = self.origin(decorator)
        attribute = None
        if isinstance(decorator, ast.Attribute):
            attribute = decorator.attr
        if origin == "builtins.property" or attribute in ("setter", "getter", "deleter"):
            function.is_property = True
        elif origin in _COMPILED:
            function.is_compiled = True
        elif origin not in _PLAIN_DECORATORS:
            function.is_wrapped = True
            function.escapes = True

    def _join(self, heir: Class) -> None:
        """Join a class with the classes that it inherits from."""
        for expression in heir.node.bases:
            base = self._class_of(expression)
            if base is not None:
                heir.bases.append(base)
                base.heirs.append(heir)
            elif self.origin(expression) != "builtins.object":
                heir.native_bases.append(expression)

    def _class_of(self, node: ast.expr) -> Class | None:
        binding = self._only_binding(node)
        if binding is None:
            return None
        return self.classes.get(binding.node)

    def _is_made_by(self, bindings: list[Binding], origins: frozenset[str]) -> bool:
        values = [binding.value for binding in bindings if isinstance(binding.value, ast.Call)]
        return any(self.made_by(value, origins) for value in values)

    def _bound_origin(self, bindings: list[Binding], depth: int) -> str | None:
        origins = set()
        for binding in bindings:
            if not is_none(binding.value):
                origins.add(self._binding_origin(binding, depth))
        if len(origins) == 1:
            return origins.pop()
        return None

    def _binding_origin(self, binding: Binding, depth: int) -> str | None:
        if binding.kind == "value" and isinstance(binding.value, ast.Name | ast.Attribute):
            return self.origin(binding.value, depth + 1)
        return binding.origin

    def _anything(self) -> Reach:
        if None not in self.reached:
            escaping = dict.fromkeys(filter(attrgetter("escapes"), self.functions.values()))
            self.reached[None] = Reach(escaping, native=True, unknown=True)
        return self.reached[None]

    def _reach(self, func: ast.expr, depth: int) -> Reach:
        if self.origin(func) is not None:
            return Reach(native=True)
        match func:
            case ast.Lambda():
                return Reach({self.functions[func]: None})
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
            if not is_none(binding.value):
                reach.add(self._reach_binding(binding, depth))
        is_ambiguous = bool(reach.functions) or reach.native or len(bindings) > 1
        # `new` could not be distinguished from a plain call.
        if reach.made is not None and is_ambiguous:
            reach.unknown = True
        return reach

    def _reach_binding(self, binding: Binding, depth: int) -> Reach:
        function = self.functions.get(binding.node)
        if function is not None and not function.is_wrapped:
            return Reach({function: None})
        defined = self.classes.get(binding.node)
        if defined is not None and not defined.node.decorator_list:
            return Reach(made=defined)
        if binding.kind == "import":
            return Reach(native=True)
        if binding.kind == "value" and isinstance(binding.value, ast.Lambda | ast.Name) and depth < _FOLLOW:
            return self.reach(binding.value, depth + 1)
        return self._anything()

    def _reach_attribute(self, func: ast.Attribute) -> Reach:
        name = func.attr
        classes = self.receiver(func.value)
        if classes is None:
            reach = Reach(dict.fromkeys(self.methods.get(name, ())), native=True)
        else:
            reach = Reach()
            for owner in classes:
                reach.functions |= dict.fromkeys(owner.methods.get(name, ()))
            reach.native = not reach.functions or any(owner.native_bases for owner in classes)
        is_assigned = name in self._attributes or "*" in self._attributes
        if is_assigned or any(function.is_wrapped for function in reach.functions):
            reach.add(self._anything())
        if name in self._inner_classes:
            reach.made = self._inner_classes[name]
            reach.unknown = True
        return reach

    def _may_be_callable(self, value: ast.expr) -> bool:
        """Return True if a value may be something of the program that can be called."""
        match value:
            case ast.Call(func=func):
                return self.origin(func) is None and self._class_of(func) is None
            case ast.Name() | ast.Attribute():
                origin = self.origin(value)
                return origin is None or origin in WAITING_ORIGINS
            case ast.BoolOp(values=parts):
                return any(map(self._may_be_callable, parts))
            case ast.IfExp(body=first, orelse=second):
                return self._may_be_callable(first) or self._may_be_callable(second)
            case _:
                return not isinstance(value, _DATA)


def _first_arg(function: Callable) -> ast.arg | None:
    """Return the parameter that gets the object."""
    for decorator in decorators_of(function.node):
        if isinstance(decorator, ast.Name) and decorator.id == "staticmethod":
            return None
    args = function.node.args
    return next(iter((*args.posonlyargs, *args.args)), None)
