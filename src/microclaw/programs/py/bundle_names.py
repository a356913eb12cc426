"""Chooses the name in a bundle of each name of its texts, and finds the names that texts share."""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence

from microclaw.programs.py.linking import Linker
from microclaw.programs.py.source_files import is_of_image
from microclaw.programs.py.units import PROGRAM, Unit


def choose_names(units: Sequence[Unit], linker: Linker) -> None:
    """Give every name its name in the bundle: its own, unless that means something else in another text.

    The units choose in this order: the program, then each module before those that it imports. Their classes are shown.
    """
    words: dict[str, _Words] = {}
    for unit in units:
        words[unit.key] = _Words(unit)
    taken: set[str] = set()
    # The names that several units may share: each imports the same from the board under it.
    native_origins: dict[str, str] = {}
    for unit in units:
        for name in unit.bindings:
            if _is_linked(unit, name):
                continue
            origin = None
            if name not in words[unit.key].deleted and not linker.is_set_outside(unit, name):
                origin = _native_origin(unit, name)
            if origin is not None and native_origins.get(name) == origin:
                unit.bundle_names[name] = name
                continue
            bundle_name = name
            is_needed = any(text.needs(name, unit) for text in words.values())
            if name in taken or is_needed:
                bundle_name = _free_name(name, unit, taken, units)
            elif origin is not None:
                native_origins[name] = origin
            unit.bundle_names[name] = bundle_name
            taken.add(bundle_name)


def board_origin(unit: Unit, name: str) -> str | None:
    """Return what `_native_origin` does, only of a module that no file of the program can be."""
    is_relative = any(getattr(binding.node, "level", 0) for binding in unit.bindings.get(name, ()))
    origin = _native_origin(unit, name)
    if origin is None or is_relative or not is_of_image(origin.partition(".")[0]):
        return None
    return origin


class _Words:
    """The words of a text that keep a name of the bundle from being plain.

    `free` mean nothing of its own, `inner` are of functions in it, `own` are names that it has through its own module,
    `deleted` are in a `del`.
    """

    def __init__(self, unit: Unit) -> None:
        self.free: set[str] = set()
        self.inner: set[str] = set()
        self.deleted: set[str] = set()
        self.own = {named.name for named in unit.links.nodes.values() if named.module == unit.key}
        self._unit = unit
        for node in unit.scopes.of:
            if not isinstance(node, ast.Name):
                continue
            if unit.scopes.owner(node, node.id) is None:
                self.free.add(node.id)
            if isinstance(node.ctx, ast.Del):
                self.deleted.add(node.id)
        for scope in unit.scopes.by_node.values():
            if scope is not unit.scopes.module:
                self.inner.update(scope.bindings)

    def needs(self, name: str, owner: Unit) -> bool:
        """Return True if this text would get the owner's name where it means something else."""
        if owner is self._unit:
            return name in self.own and name in self.inner
        return name in self.free or (owner.key != PROGRAM and name in self.inner)


def _is_linked(unit: Unit, name: str) -> bool:
    """Return True if a name needs no name in the bundle: each of its uses is a link to another unit."""
    bindings = unit.bindings[name]
    return unit.links.meanings.get(id(bindings)) is not None and id(bindings) not in unit.links.optional


def _free_name(name: str, unit: Unit, taken: Collection[str], units: Sequence[Unit]) -> str:
    """Return a name that no text has, from a unit's name and its word."""
    free_name = f"_{unit.word}_{name}"
    while free_name in taken or any(free_name in other.scopes.words for other in units):
        free_name = f"_{unit.word}_{free_name}"
    return free_name


def _native_origin(unit: Unit, name: str) -> str | None:
    """Return the module, or the name in one, that a text imports from the board under a name, and only that."""
    origins = set()
    for binding in unit.bindings.get(name, ()):
        is_copied = (binding.node, name) in unit.links.copies
        if binding.kind != "import" or is_copied:
            return None
        origins.add(binding.origin)
    if len(origins) != 1:
        return None
    return origins.pop()
