"""Refuses ways from a program's objects into the firmware's own: attributes that are not the program's, by name or not.

It is no wall against a program that is made to break it (docs/python-programs.md); it ends mistakes and shortcuts.
What is allowed is made true by OwnNames.
"""

from __future__ import annotations

import ast
import itertools
from typing import Final

from microclaw.programs.py.callgraph import PyCallGraph
from microclaw.programs.py.scopes import canonical
from microclaw.programs.py.source import Findings
from microclaw.programs.py.stock import stock_image

REFLECTION: Final = frozenset({"getattr", "setattr", "delattr", "hasattr"})
PUBLIC: Final = frozenset({"_asdict", "_fields", "_make", "_replace"})  # of namedtuple
_INSIDES: Final = frozenset(
    {"__globals__", "__builtins__", "__self__", "__func__", "__code__", "__closure__", "__bases__"}
)
_OTHERS: Final = frozenset({"__dict__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__"})
# By these names the firmware's objects hold the firmware; each is in the stock image's `firmware_private` too.
LEADING: Final = frozenset({"_env", "_real", "_board", "_runner", "_timeline", "_settings"})
_WHY: Final = "behind it is the firmware, with the Wi-Fi's password and the link's key"
_VALUES: Final = frozenset(f"builtins.{name}" for name in REFLECTION if name != "hasattr")
_LOOKING: Final = frozenset(
    f"builtins.{name}" for name in ("print", "str", "repr", "isinstance", "issubclass", "hash", "id", "bool")
)
_COMPARING: Final = frozenset({"__eq__", "__ne__", "__contains__"})  # methods that get what they are compared with
_LOOK_HINT: Final = "compare it (type(x) is int), use isinstance(x, int), or print type(x).__name__"
_CLASS_WHY: Final = "the class of a pin or a file leads around the firmware"
_GLOBALS: Final = "builtins.globals"
_FOLLOW: Final = 6


def check_private(graph: PyCallGraph, findings: Findings) -> None:
    own = own_attributes(graph) | PUBLIC
    for node in graph.scopes.of:
        match node:
            case ast.Name(ctx=ast.Load()) if graph.origin(node) in _VALUES:
                _check_reflection(node, graph, findings)
            case ast.ImportFrom(names=names):
                for alias in names:
                    if alias.name.startswith("_") and node.module != "__future__":
                        findings.error(node, f"a program cannot import {alias.name}", "leave it out", _WHY)
            case ast.Attribute(value=owner, attr=name, ctx=context):
                _check_attribute(node, owner, name, isinstance(context, ast.Load), graph, findings, own)
            case ast.Call(func=func, args=[owner, ast.Constant(value=str(name)), *_]) if graph.origin(func) in _VALUES:
                if name in ("__class__", "__dict__"):
                    findings.error(node, f"a program cannot ask for {name} so", f"write x.{name}", _WHY)
                else:
                    is_read = graph.origin(func) == "builtins.getattr"
                    _check_attribute(node, owner, name, is_read, graph, findings, own)
            case _:
                pass
        if isinstance(node, ast.expr):
            _check_class(node, graph, findings)


def _check_attribute(
    node: ast.expr, owner: ast.expr, name: str, is_read: bool, graph: PyCallGraph, findings: Findings, own: set[str]
) -> None:
    """`own`: the attributes that the program may name; "*": any, for it makes some while it runs."""
    origin = graph.origin(owner)
    if not is_read and origin is not None:
        hint = "set it of an object that you made, or keep it in a variable of your own"
        why = "the firmware and the other programs use it too"
        findings.error(node, f"a program cannot change {name} of {origin.removeprefix('builtins.')}", hint, why)
        return
    of_module = canonical(origin or "") in stock_image().modules
    if is_read and (name in _INSIDES or (of_module and name.startswith("_") and name != "__name__")):
        findings.error(node, f"a program cannot use {name}", "leave it out", _WHY)
    elif is_read and name in _OTHERS and graph.receiver(owner) is None:
        hint = "use it of an object whose class is in this program, in the method that has it as self"
        findings.error(node, f"cannot tell whose {name} this is", hint, _WHY)
    elif is_read and name.startswith("_") and not name.endswith("__") and own.isdisjoint({name, "*"}):
        findings.error(node, f"nothing in this program defines {name}", "use names without _ of others' objects")
    elif name in LEADING and graph.receiver(owner) is None:
        hint = f"give the attribute of your class another name than {name}, or use it in a method as self.{name}"
        findings.error(node, f"cannot tell whose {name} this is: the firmware's objects have it too", hint, _WHY)


def _check_reflection(node: ast.Name, graph: PyCallGraph, findings: Findings) -> None:
    """getattr and its like must show what they are asked: as a call with its arguments one by one."""
    parent = graph.scopes.parents.get(node)
    called = (graph.origin(node) or "").rpartition(".")[2]
    plain = f"{called}(thing, name{', value' if called == 'setattr' else ''})"
    if not isinstance(parent, ast.Call) or parent.func is not node:
        hint = f"call it where it is needed: {plain}"
        findings.error(node, f"{called} is used as a value: what it would reach cannot be told", hint, _WHY)
    elif any(isinstance(arg, ast.Starred) for arg in parent.args) or parent.keywords:
        findings.error(node, "cannot tell what this reaches", f"write its arguments one by one: {plain}", _WHY)


def own_attributes(graph: PyCallGraph) -> set[str]:
    """The attributes that the program gives to objects by names that are written out; "*": and by some that are not."""
    of_classes = [scope.bindings for node, scope in graph.scopes.by_node.items() if isinstance(node, ast.ClassDef)]
    return {*graph.methods, *graph.assigned_attributes}.union(*of_classes)


# Classes: they are compared and named; more is had of the classes of the program's own objects alone, as the class of
# a pin or a file in a program's hands could be changed for everyone, or asked for other files


def _check_class(node: ast.expr, graph: PyCallGraph, findings: Findings) -> None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and graph.origin(node) == "builtins.type":
        parent = graph.scopes.parents.get(node)
        if isinstance(parent, ast.Call) and parent.func is node:
            if any(isinstance(arg, ast.Starred) for arg in parent.args):
                findings.error(node, "cannot tell whose class this is", "write type(x)", _CLASS_WHY)
        elif not is_free(node, graph):
            message = "type is used as a value: what it would reach cannot be told"
            findings.error(node, message, _LOOK_HINT, _CLASS_WHY)
    owner = owner_of_class(node, graph)
    if owner is not None and graph.receiver(owner) is None and not (_is_plain(owner, graph) or is_free(node, graph)):
        message = f"a program cannot have the class of {ast.unparse(owner)} as a value"
        findings.error(node, message, _LOOK_HINT, _CLASS_WHY)


def owner_of_class(node: ast.AST, graph: PyCallGraph) -> ast.expr | None:
    """The object whose class this expression is."""
    match node:
        case ast.Attribute(value=owner, attr="__class__"):
            return owner
        case ast.Call(func=func, args=[owner]) if graph.origin(func) == "builtins.type":
            return owner
        case _:
            return None


def is_free(node: ast.expr, graph: PyCallGraph, depth: int = 0) -> bool:
    """True if a class (`node`) is only compared, tested, named or printed."""
    parent = graph.scopes.parents.get(node)
    if isinstance(parent, ast.Tuple):  # isinstance(x, (int, type(y))), "%s %s" % (type(x), y)
        return _looks(graph.scopes.parents.get(parent), parent, graph)
    match parent:
        case ast.Attribute(attr="__name__") | ast.FormattedValue() | ast.Expr():
            return True
        case ast.Compare(left=left, ops=ops, comparators=others):
            if all(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                return True
            compares = all(isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn) for op in ops)
            is_own = not _COMPARING.isdisjoint({*graph.methods, *graph.assigned_attributes})
            return compares and (not is_own or all(_is_kind(each, graph) for each in (left, *others)))
        case ast.Subscript(value=ast.Dict(), slice=key):
            return key is node
        case ast.Assign(targets=[ast.Name() as target]) if depth < _FOLLOW:
            return _is_free_name(target, graph, depth + 1)
        case _:
            return _looks(parent, node, graph)


def _looks(node: ast.AST | None, given: ast.expr, graph: PyCallGraph) -> bool:
    """True if it is print(given), "...".format(given), "..." % given, and the like."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format"), args=args):
            return given in args
        case ast.Call(func=func, args=args):
            return given in args and graph.origin(func) in _LOOKING
        case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
            return right is given
        case _:
            return False


def _is_plain(node: ast.expr, graph: PyCallGraph) -> bool:
    """True if it surely is a value of Python's own, or an exception: no class of those can be changed."""
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.Compare):
        return True
    bindings = graph.scopes.bindings(node)
    return bool(bindings) and not _is_open(node, graph) and all(isinstance(b.node, ast.ExceptHandler) for b in bindings)


def _is_kind(node: ast.expr, graph: PyCallGraph) -> bool:
    """True if it is a class, or some: nothing whose methods would be given what it is compared with."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return all(_is_kind(each, graph) for each in node.elts)
    known = isinstance(node, ast.Name) and (graph.origin(node) or "").startswith("builtins.")
    return known or isinstance(node, ast.Constant) or owner_of_class(node, graph) is not None


def _is_free_name(target: ast.Name, graph: PyCallGraph, depth: int) -> bool:
    """True if every place that reads a variable only looks at the class in it."""
    bound = graph.scopes.bindings(target)
    if isinstance(graph.scopes.of[target].node, ast.ClassDef) or _is_open(target, graph):
        return False
    named = [n for n in graph.scopes.of if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    return all(is_free(n, graph, depth) for n in named if graph.scopes.bindings(n) is bound)


def _is_open(node: ast.expr, graph: PyCallGraph) -> bool:
    """True if what a name stands for can be read and set past it: the module's, by globals()."""
    is_local = not isinstance(node, ast.Name) or node.id not in graph.scopes.module.bindings
    return not is_local and any(isinstance(n, ast.Name) and graph.origin(n) == _GLOBALS for n in graph.scopes.of)


# A program's attributes are kept apart from the firmware's: those of one name get another one when it is rewritten, so
# `self._env` of a program's class never is the firmware's `_env`, whatever object the method is called with. Names that
# are made while the program runs go through a function of the rewritten program

# join() takes str alone, no class of the program's own, and nothing in it can be replaced by the program.
_OWN: Final = """
def {function}(name):
    name = "".join((name,))
    return name + {suffix!r} if name.startswith("_") and name not in {own!r} else name
"""
_MARKED: Final = """
def {function}(thing):
    thing.{mark}
    return thing
"""


class OwnNames:
    """`function` makes a name the program's own at run time, `marked` lets only its own objects through."""

    def __init__(self, graph: PyCallGraph, used: set[str]) -> None:
        self._graph = graph
        names = used | {n.attr for n in graph.scopes.of if isinstance(n, ast.Attribute)} | own_attributes(graph)
        self.suffix = unused("_own", {name[at:] for name in names for at in range(len(name))})
        self.function, self.marked, self.mark = (unused(plain, names) for plain in ("own_", "marked_", "_mark_"))
        own = {name for name in own_attributes(graph) if name.startswith("_")}
        self._plain = tuple(sorted((own | PUBLIC) - stock_image().firmware_private))
        self._asking: ast.AST | None = None
        self._marking: ast.AST | None = None

    def of(self, name: str) -> str:
        """The name of an attribute in the rewritten program."""
        if not name.startswith("_") or name.endswith("__") or name in self._plain:
            return name
        return name + self.suffix

    def in_class(self, node: ast.AST, name: str) -> str:
        """The form of a plain name: in a class's body it is an attribute."""
        scope = self._graph.scopes.of.get(node)
        if scope is not None and self.of(name) != name:
            found = scope.find(name)
        else:
            found = None
        if found is not None and isinstance(found[0].node, ast.ClassDef):
            return self.of(name)
        return name

    def asks(self, call: ast.Call) -> bool:
        """True if this call has an attribute's name as an argument."""
        function = (self._graph.origin(call.func) or "").removeprefix("builtins.")
        return function in REFLECTION and len(call.args) > 1

    def asked(self, call: ast.Call, name: ast.expr) -> ast.expr:
        """The replacement of that argument."""
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return ast.Constant(self.of(name.value))
        self._asking = self._asking or call
        return ast.Call(ast.Name(self.function, ast.Load()), [name], [])

    def needs_mark(self, node: ast.expr) -> bool:
        """True if more is had of an object's class or __dict__ than a look: that is for the program's own ones."""
        is_dict = isinstance(node, ast.Attribute) and node.attr == "__dict__"
        owner = node.value if is_dict and isinstance(node, ast.Attribute) else owner_of_class(node, self._graph)
        if owner is None or self._graph.receiver(owner) is None:
            return False
        return is_dict or not is_free(node, self._graph)

    def with_mark(self, node: ast.expr, owner: ast.expr) -> ast.expr:
        self._marking = self._marking or node
        return ast.Call(ast.Name(self.marked, ast.Load()), [owner], [])

    def add_functions(self, program: list[ast.stmt]) -> None:
        """Put what the calls above need into the rewritten program."""
        if self._marking is not None:
            for node in [n for statement in program for n in ast.walk(statement) if isinstance(n, ast.ClassDef)]:
                mark = ast.Assign([ast.Name(self.mark, ast.Store())], ast.Constant(None))
                node.body.insert(0, _placed(mark, node))
            text = _MARKED.format(function=self.marked, mark=self.mark)
            program.insert(0, _placed(ast.parse(text).body[0], self._marking))
        if self._asking is not None:
            text = _OWN.format(function=self.function, suffix=self.suffix, own=self._plain)
            program.insert(0, _placed(ast.parse(text).body[0], self._asking))


def unused(name: str, used: set[str]) -> str:
    """This name, or one with a number behind it that is not used."""
    numbered = (f"{name}{n}" for n in itertools.count())
    return next(one for one in itertools.chain([name], numbered) if one not in used)


def _placed(made: ast.stmt, node: ast.AST) -> ast.stmt:
    for each in ast.walk(made):
        ast.copy_location(each, node)
    return made
