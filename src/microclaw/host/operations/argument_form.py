"""Says which fields an object of a call has, for the caller of wrong arguments: of the object that the fault is in."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import inspect

# A field, or an element of a list, in msgspec's path of a fault: "$.inputs[0].pin".
_STEP: Final = re.compile(r"\.([A-Za-z_]+)|\[[^\]]{0,20}\]")


def right_form(kind: type[msgspec.Struct], path: str = "$") -> str:
    """Return a sentence with the fields of the innermost object on the way to the fault at `path`."""
    place, faulty_kind = _innermost(kind, path)
    fields = []
    for field in msgspec.structs.fields(faulty_kind):
        notes = [_values_text(field.type)]
        if not field.required:
            notes.append("optional")
        text = "; ".join(filter(None, notes))
        if text:
            fields.append(f"{field.encode_name} ({text})")
        else:
            fields.append(field.encode_name)
    listing = ", ".join(fields) or "no fields"
    if place:
        return f"{place} is an object with: {listing}"
    return f"give one JSON object with: {listing}"


def fault_path(error: Exception) -> str:
    """Return the place that a msgspec error names, "$" for the whole."""
    _, _, path = str(error).partition(" - at `")
    return path.rstrip("`") or "$"


def _innermost(kind: type[msgspec.Struct], path: str) -> tuple[str, type[msgspec.Struct]]:
    """Return the innermost struct on the path, and its place; an empty place for `kind` itself."""
    place = ""
    inner_place = ""
    inner_kind = kind
    current = inspect.type_info(kind)
    for step in _STEP.finditer(path):
        place += step[0]
        current = _plain(_member(current, step[1]))
        if isinstance(current, inspect.StructType):
            inner_place = place.lstrip(".")
            inner_kind = current.cls
    return inner_place, inner_kind


def _member(kind: Any, name: str | None) -> Any:
    """Return the type of a field, or of the elements if there is no name; AnyType if the type has none."""
    if name is None:
        return getattr(kind, "item_type", inspect.AnyType())
    for field in getattr(kind, "fields", ()):
        if field.encode_name == name:
            return field.type
    return inspect.AnyType()


def _plain(kind: Any) -> Any:
    """Return the type without its metadata and without None."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [other for other in kind.types if not isinstance(other, inspect.NoneType)]
        if len(others) == 1:
            return _plain(others[0])
    return kind


def _values_text(kind: Any) -> str:
    """Return the choices of a field, or the name of its JSON type; empty where it can be of several types."""
    schema = msgspec.json.schema(kind)
    choices = schema.get("enum") or schema.get("anyOf", [{}])[0].get("enum", ())
    if choices:
        return " or ".join(map(str, choices))
    plain = msgspec.json.schema(kind).get("type")
    if plain is None:
        types = [other.get("type") for other in schema.get("anyOf", ())]
        named = [name for name in types if name not in (None, "null")]
        plain = named[0] if len(named) == 1 else ""
    return str(plain)
