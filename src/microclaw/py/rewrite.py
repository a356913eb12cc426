"""A program as one coroutine `async def main(E)` that the board's runner can run beside others. Judges nothing.

The contract with the runner (`Environment` of firmware/fw/program.py) is docs/decisions/0036-micropython-firmware.md.
"""

from __future__ import annotations

import ast
from typing import Final, TypeVar

from microclaw.py.callgraph import Callable
from microclaw.py.formats import as_format_call
from microclaw.py.own_names import OwnNames
from microclaw.py.plans import RENAMED, Plan
from microclaw.py.scopes import Comprehension, canonical
from microclaw.py.waits import Waits

N = TypeVar("N", bound=ast.AST)
DROPPED_MODULES: Final = frozenset({"typing", "__future__"})
_INNER: Final = "_wait_"


class Rewriter(ast.NodeTransformer):
    """Turns the tree into the program's coroutine; every new node keeps the line of what it came from."""

    def __init__(self, waits: Waits) -> None:
        self._waits, self._graph = waits, waits.graph
        used = {n.id for n in waits.graph.scopes.of if isinstance(n, ast.Name)} | set(
            waits.graph.scopes.module.bindings
        )
        used |= {a.arg for f in waits.graph.functions for a in ast.walk(f) if isinstance(a, ast.arg)}
        self.environment = next(name for name in ("E", *(f"E_{n}" for n in range(len(used) + 2))) if name not in used)
        used |= {"main"}
        self._main = next(name for name in ("main_", *(f"main_{n}" for n in range(len(used)))) if name not in used)
        self._names = OwnNames(waits.graph, used | {self.environment, self._main})
        self._owner: Callable | None = None
        self._hoisted: list[ast.stmt] = []
        self._count = 0

    def program(self, tree: ast.Module) -> ast.Module:
        names = sorted(
            self._main if n == "main" else n
            for n, bs in self._graph.scopes.module.bindings.items()
            if bs and n not in self._dropped()
        )
        body = self._block(tree.body)
        self._names.add_functions(body)
        if names:
            body.insert(0, ast.Global(names))
        arguments = ast.arguments([], [ast.arg(self.environment)], None, [], [], None, [])
        main = ast.AsyncFunctionDef("main", arguments, body or [ast.Pass()], [])
        return ast.fix_missing_locations(ast.Module([main], []))

    def _dropped(self) -> set[str]:
        bindings = self._graph.scopes.module.bindings.items()
        return {
            n for n, bs in bindings if bs and all((b.origin or "").partition(".")[0] in DROPPED_MODULES for b in bs)
        }

    # Statements

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        done: list[ast.stmt] = []
        for statement in statements:
            outer, self._hoisted = self._hoisted, []
            new = self.visit(statement)
            done += self._hoisted
            self._hoisted = outer
            done += new if isinstance(new, list) else [] if new is None else [new]
        return done

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._block(value) or [ast.copy_location(ast.Pass(), node)])
            elif isinstance(value, list):
                setattr(node, name, [self.visit(one) if isinstance(one, ast.AST) else one for one in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        function = self._graph.functions[node]
        node.name = self._renamed(node, node.name)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        node.args = self.visit(node.args)
        outer, self._owner = self._owner, function
        node.body = self._block(node.body) or [ast.copy_location(ast.Pass(), node)]
        self._owner = outer
        if function not in self._waits.waiting:
            return node
        name = "_ainit_" if node.name == "__init__" else node.name
        return ast.copy_location(ast.AsyncFunctionDef(name, node.args, node.body, node.decorator_list), node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        node.args = self.visit(node.args)
        outer, self._owner = self._owner, self._graph.functions[node]
        node.body = self.visit(node.body)
        self._owner = outer
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._renamed(node, node.name)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST | None:
        node.names = [self._main if name == "main" else name for name in node.names]
        return node if self._owner is not None else None

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        kept = [a for a in node.names if a.name not in DROPPED_MODULES]
        return [self._assign(node, a.asname or a.name, self._module(node, a.name)) for a in kept]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        module = node.module or ""
        if module in DROPPED_MODULES:
            return []
        return [
            self._assign(
                node, a.asname or a.name, _at(node, ast.Attribute(self._module(node, module), a.name, ast.Load()))
            )
            for a in node.names
        ]

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._guarded(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._guarded(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self._guarded(node)

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.generic_visit(node)
        if self._waits.is_coroutine(self._owner):
            node.handlers = [new for handler in node.handlers for new in self._with_cancel(handler)]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return None  # a docstring: the board need not hold it
        if isinstance(node.value, ast.Call) and (plan := self._waits.plans.get(node.value)) is not None:
            if plan.kind == "for ever":
                hour = _at(node, ast.Await(self._call(node, "sleep", _at(node, ast.Constant(3600)))))
                return _at(node, ast.While(_at(node, ast.Constant(True)), [_at(node, ast.Expr(hour))], []))
            if plan.kind == "nothing":
                return None
        node.value = self.visit(node.value)
        return node

    def _guarded(self, node: ast.While | ast.For | ast.AsyncFor) -> ast.AST:
        guard = self._waits.guards.get(node)
        self.generic_visit(node)
        if guard is not None:
            call = self._call(node, guard)
            node.body.insert(0, _at(node, ast.Expr(_at(node, ast.Await(call)) if guard == "y" else call)))
        return node

    def _with_cancel(self, handler: ast.ExceptHandler) -> list[ast.ExceptHandler]:
        """Handlers that let the runner's cancelling through; one for Ctrl-C gets it, because it cleans up."""
        cancelled = self._env(handler, "Cancelled")
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
        names = {k.id for k in kinds if isinstance(k, ast.Name)}
        if handler.type is None or "BaseException" in names:
            return [_at(handler, ast.ExceptHandler(cancelled, None, [_at(handler, ast.Raise())])), handler]
        if "KeyboardInterrupt" in names:
            handler.type = _at(handler, ast.Tuple([*kinds, cancelled], ast.Load()))
        return [handler]

    # Expressions

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load):
            if node.id == "__name__" and self._graph.origin(node) == "builtins.__name__":
                return _at(node, ast.Constant("__main__"))
            if self._graph.origin(node) == "builtins.open":  # that of programs' files: firmware/fw/modules.py
                return _at(node, ast.Attribute(self._module(node, "io"), "open", ast.Load()))
            if (name := RENAMED.get(self._graph.origin(node) or "")) is not None:
                return self._env(node, name)
        node.id = self._renamed(node, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and (name := RENAMED.get(self._graph.origin(node) or "")) is not None:
            return self._env(node, name)
        is_marked = self._names.needs_mark(node)
        self.generic_visit(node)
        node.attr = self._names.of(node.attr)
        if is_marked:
            node.value = self._names.with_mark(node, node.value)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        call: ast.expr = self.visit(as_format_call(node))
        return call

    def visit_Call(self, node: ast.Call) -> ast.AST:
        plan = self._waits.plans.get(node)
        if plan is None:
            return self._native_call(node)
        if plan.kind == "nothing":
            return _at(node, ast.Constant(None))
        called = self._planned(node, plan)
        if not plan.waits or isinstance(
            self._graph.scopes.parents.get(node), ast.Lambda
        ):  # that passes the coroutine on
            return called
        if plan.kind == "maybe":
            called = self._call(node, "aw", called)
        return _at(node, ast.Await(called))

    def _native_call(self, node: ast.Call) -> ast.AST:
        """A call as it stands; a short `time.sleep` stays the library's own."""
        origin = self._graph.origin(node.func) or ""
        if self._names.asks(node):
            self.generic_visit(node)
            node.args[1] = self._names.asked(node, node.args[1])
            return node
        if self._names.needs_mark(node):
            self.generic_visit(node)
            node.args[0] = self._names.with_mark(node, node.args[0])
            return node
        if RENAMED.get(origin) is None:
            return self.generic_visit(node)
        module, _, name = origin.rpartition(".")
        node.func = _at(node, ast.Attribute(self._module(node, module), name, ast.Load()))
        node.args, node.keywords = [self.visit(a) for a in node.args], [self.visit(k) for k in node.keywords]
        return node

    def _planned(self, node: ast.Call, plan: Plan) -> ast.expr:
        keywords = [self.visit(k) for k in node.keywords]
        args = [self.visit(a) for a in node.args]
        match plan.kind:
            case "environment":
                if not args and plan.name == "sleep_ms":  # machine.idle()
                    args = [_at(node, ast.Constant(1))]
                return self._call(node, plan.name, *args, keywords=keywords)
            case "irq":
                assert isinstance(node.func, ast.Attribute)
                return self._call(node, "irq", self.visit(node.func.value), *args, keywords=keywords)
            case "timer":
                timer = node.func
                if isinstance(timer, ast.Attribute) and timer.attr == "init" and self._graph.origin(timer) is None:
                    timer = timer.value
                return self._call(node, "timer", self.visit(timer), *args, keywords=keywords)
            case "new":
                return self._call(node, "new", self.visit(node.func), *args, keywords=keywords)
            case _:
                function = self.visit(node.func)
                if isinstance(function, ast.Attribute) and function.attr == "__init__":
                    function.attr = "_ainit_"
                return _at(node, ast.Call(function, args, keywords))

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: Comprehension) -> ast.AST:
        if node not in self._waits.comprehensions:
            return self.generic_visit(node)
        self._count += 1
        name, result, first = f"{_INNER}{self._count}", f"{_INNER}{self._count}r", f"{_INNER}{self._count}i"
        iterated = self.visit(node.generators[0].iter)
        node.generators[0].iter = _at(node, ast.Name(first, ast.Load()))
        outer, self._hoisted = self._hoisted, []
        body = self._round(node, result)
        for generator in reversed(node.generators):
            for condition in reversed(generator.ifs):
                body = [_at(node, ast.If(self.visit(condition), body, []))]
            wait = _at(node, ast.Expr(_at(node, ast.Await(self._call(node, "y")))))
            iter_ = generator.iter if generator is node.generators[0] else self.visit(generator.iter)
            body = [_at(node, ast.For(self.visit(generator.target), iter_, [wait, *body], []))]
        empty, end = self._ends(node, result)
        start = [_at(node, ast.Assign([_at(node, ast.Name(result, ast.Store()))], empty))] if empty is not None else []
        inner = [*self._hoisted, *start, *body, _at(node, ast.Return(end))]
        self._hoisted = outer
        arguments = ast.arguments([], [ast.arg(first)], None, [], [], None, [])
        self._hoisted.append(_at(node, ast.AsyncFunctionDef(name, arguments, inner, [])))
        called = _at(node, ast.Await(_at(node, ast.Call(_at(node, ast.Name(name, ast.Load())), [iterated], []))))
        return self._as_argument(node, called)

    def _round(self, node: Comprehension, result: str) -> list[ast.stmt]:
        """What is done with each value: put into the result, or for any() and all() looked at."""
        store = _at(node, ast.Name(result, ast.Load()))
        if isinstance(node, ast.DictComp):
            target = _at(node, ast.Subscript(store, self.visit(node.key), ast.Store()))
            return [_at(node, ast.Assign([target], self.visit(node.value)))]
        value = self.visit(node.elt)
        if (consumer := self._consumer(node)) in ("any", "all"):
            test = value if consumer == "any" else _at(node, ast.UnaryOp(ast.Not(), value))
            return [_at(node, ast.If(test, [_at(node, ast.Return(_at(node, ast.Constant(consumer == "any"))))], []))]
        add = "add" if isinstance(node, ast.SetComp) else "append"
        return [_at(node, ast.Expr(_at(node, ast.Call(_at(node, ast.Attribute(store, add, ast.Load())), [value], []))))]

    def _ends(self, node: Comprehension, result: str) -> tuple[ast.expr | None, ast.expr]:
        """What the result is at first (None: there is none), and what is returned at the end."""
        end = _at(node, ast.Name(result, ast.Load()))
        if isinstance(node, ast.DictComp):
            return _at(node, ast.Dict([], [])), end
        if isinstance(node, ast.SetComp):
            return _at(node, ast.Call(_at(node, ast.Name("set", ast.Load())), [], [])), end
        if (consumer := self._consumer(node)) in ("any", "all"):
            return None, _at(node, ast.Constant(consumer == "all"))
        return _at(node, ast.List([], ast.Load())), end

    def _as_argument(self, node: Comprehension, called: ast.expr) -> ast.expr:
        """any(x) and all(x) get a one-element list: the answer was found inside."""
        return _at(node, ast.List([called], ast.Load())) if self._consumer(node) in ("any", "all") else called

    def _consumer(self, node: Comprehension) -> str | None:
        parent = self._graph.scopes.parents.get(node)
        if not isinstance(node, ast.GeneratorExp) or not isinstance(parent, ast.Call):
            return None
        return (self._graph.origin(parent.func) or "").removeprefix("builtins.")

    # Parts

    def _renamed(self, node: ast.AST, name: str) -> str:
        """The program's own `main` has another name: the runner finds the whole program under this one."""
        name = self._names.in_class(node, name)
        found = self._graph.scopes.of[node].find(name) if name == "main" and node in self._graph.scopes.of else None
        return self._main if found is not None and found[0] is self._graph.scopes.module else name

    def _module(self, node: ast.AST, name: str) -> ast.expr:
        return self._call(node, "module", _at(node, ast.Constant(canonical(name))))

    def _env(self, node: ast.AST, name: str) -> ast.expr:
        return _at(node, ast.Attribute(_at(node, ast.Name(self.environment, ast.Load())), name, ast.Load()))

    def _call(self, node: ast.AST, name: str, *args: ast.expr, keywords: list[ast.keyword] | None = None) -> ast.expr:
        return _at(node, ast.Call(self._env(node, name), list(args), keywords or []))

    def _assign(self, node: ast.AST, name: str, value: ast.expr) -> ast.stmt:
        return _at(node, ast.Assign([_at(node, ast.Name(self._renamed(node, name), ast.Store()))], value))


def _at(node: ast.AST, new: N) -> N:
    return ast.copy_location(new, node)
