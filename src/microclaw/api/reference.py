"""The OpenAPI document as people read it: routes in groups, and the fields of each form in words. It writes no page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from microclaw.api.access import OF_ROLE, OPEN_HERE, Access

Schema: TypeAlias = Mapping[str, Any]
Piece: TypeAlias = tuple[str, bool]
"""Words, and whether they are the name of a form, which a page makes a link of."""

ROLES: Final[Mapping[str, str]] = {
    **{access.name.lower(): role for role, access in OF_ROLE.items()},
    Access.OPEN.name.lower(): "none, not even signed in",
    Access.SOCKET.name.lower(): "the host's own account, on its control socket",
}
_ON_NETWORK: Final = "none on the host's own machine, read-only on a network"
_JSON: Final = "application/json"
_HTML: Final = "text/html"
_TYPES: Final = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
_FORM: Final = "#/components/schemas/"
_OF_ALL: Final = 400  # statuses from here on have one form, and are told once
_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a form. `kind` are the words of its type with their limits."""

    name: str
    kind: tuple[Piece, ...]
    about: str
    default: str | None
    required: bool
    place: str = "body"


@dataclass(frozen=True, slots=True)
class Form:
    """A body or an answer with a name. Without fields it is `kind`."""

    name: str
    about: str
    fields: tuple[Field, ...]
    kind: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class ReferenceRoute:
    """`answers`: status, content type and kind of each answer that is no error."""

    method: str
    path: str
    group: str
    summary: str
    role: str
    parameters: tuple[Field, ...]
    body: tuple[Piece, ...] | None
    answers: tuple[tuple[str, str, tuple[Piece, ...]], ...]


def routes_of(document: Schema) -> list[ReferenceRoute]:
    """Every route but the pages for browsers, in the order of the groups' names, and in a group by its path."""
    found = [
        _route(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS and _HTML not in operation["responses"].get("200", {}).get("content", {})
    ]
    return sorted(found, key=lambda one: (one.group, one.path))


def forms_of(document: Schema) -> list[Form]:
    """Every form that a route names, by its name."""
    return [_form(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]


def kind_of(schema: Schema) -> Iterator[Piece]:
    """The type in words: `text of 1 to 64 characters`, `[AppFacts]`, `integer from 1 to 400 or null`."""
    if ref := schema.get("$ref"):
        yield shown_name(ref.removeprefix(_FORM)), True
    elif "const" in schema or "enum" in schema:
        yield " or ".join(_literal(one) for one in schema.get("enum", [schema.get("const")])), False
    elif several := schema.get("anyOf") or (None if "type" in schema else schema.get("oneOf")):
        yield from _joined(several, " or ")
    elif schema.get("type") == "array":
        yield "[", False
        yield from _joined(schema["prefixItems"], ", ") if "prefixItems" in schema else kind_of(schema.get("items", {}))
        yield "]" + _span(schema, "minItems", "maxItems", " of {} items"), False
    elif schema.get("type") == "object" or "properties" in schema:
        yield from _object(schema)
    else:
        yield _plain(schema), False


def shown_name(name: str) -> str:
    """The names of the document, without the underscore that some have in the code."""
    return name.lstrip("_")


def _joined(schemas: list[Schema], between: str) -> Iterator[Piece]:
    for number, one in enumerate(schemas):
        if number:
            yield between, False
        yield from kind_of(one)


def _object(schema: Schema) -> Iterator[Piece]:
    values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
    if "properties" in schema:
        fields = (f"{name}{'' if name in schema.get('required', ()) else '?'}" for name in schema["properties"])
        yield "{" + ", ".join(fields) + "}", False
    elif isinstance(values, Mapping) and values:
        yield "{name: ", False
        yield from kind_of(values)
        yield "}", False
    else:
        yield "object", False


def _plain(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(_TYPES[one] for one in kind)
    if kind is None:
        return "any value"
    if kind == "string":
        if schema.get("format") == "binary":
            return "bytes"
        return "text" + _span(schema, "minLength", "maxLength", " of {} characters")
    words = _TYPES[kind]
    low, high = _bound(schema, "minimum", "exclusiveMinimum"), _bound(schema, "maximum", "exclusiveMaximum")
    if low and high:
        return f"{words} {'from ' + low if 'above' not in low else low} to {high}"
    return f"{words}{' from ' + low if low else ''}{' up to ' + high if high else ''}"


def _bound(schema: Schema, edge: str, beyond: str) -> str:
    """A limit in words; none where it is only what JSON can carry."""
    for name in (edge, beyond):
        value = schema.get(name)
        if value is not None and abs(value) < 2**53 - 1:
            mark = "" if name == edge else "above " if name == "exclusiveMinimum" else "below "
            return f"{mark}{value:.15g}"
    return ""


def _span(schema: Schema, low: str, high: str, words: str) -> str:
    least, most = schema.get(low), schema.get(high)
    if least is None and most is None:
        return ""
    if least == most:
        return words.format(least)
    if most is None:
        return words.format(f"at least {least}")
    return words.format(f"{least} to {most}" if least else f"at most {most}")


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value:.15g}" if isinstance(value, float) else str(value)


def _route(path: str, method: str, operation: Schema) -> ReferenceRoute:
    body = operation.get("requestBody", {}).get("content", {})
    good = [(status, one) for status, one in operation["responses"].items() if int(status) < _OF_ALL]
    return ReferenceRoute(
        method.upper(),
        path,
        operation.get("tags", ["page"])[0],
        operation.get("summary", ""),
        _ON_NETWORK if path in OPEN_HERE else ROLES[operation["x-access"]],
        tuple(_parameter(one) for one in operation.get("parameters", [])),
        tuple(kind_of(body[_JSON]["schema"])) if _JSON in body else None,
        tuple(
            (status, media, tuple(kind_of(content.get("schema", {}))))
            for status, answer in sorted(good)
            for media, content in answer.get("content", {"": {}}).items()
        ),
    )


def _parameter(one: Schema) -> Field:
    schema = one.get("schema", {})
    about = one.get("description") or schema.get("description", "")
    return Field(one["name"], tuple(kind_of(schema)), about, _default(schema), one.get("required", False), one["in"])


def _form(name: str, schema: Schema) -> Form:
    required = schema.get("required", ())
    fields = tuple(
        Field(key, tuple(kind_of(value)), value.get("description", ""), _default(value), key in required)
        for key, value in schema.get("properties", {}).items()
    )
    about = " ".join(str(schema.get("description", "")).split())
    return Form(shown_name(name), about, fields, () if fields else tuple(kind_of(schema)))


def _default(schema: Schema) -> str | None:
    """The value that counts where none is given; none of null and of what is empty, which say nothing."""
    value = schema.get("default")
    return _literal(value) if isinstance(value, bool | int | float) or value else None
