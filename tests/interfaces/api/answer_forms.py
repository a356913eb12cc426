"""Checks that an answer of the API has the fields of the OpenAPI document and no others. Holds no test."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

_JSON: Final = "application/json"


class AnswerForms:
    """`AnswerForms(document).check("GET", "/v1/apps", 200, answer)` raises AssertionError."""

    _known: ClassVar[list[AnswerForms]] = []  # every host of a run has the same document, and to make it takes a second

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = {"schemas": closed(document["components"]["schemas"])}
        self._validators: dict[tuple[str, str, int], Draft202012Validator] = {}
        rows = [(path, _pattern(path), methods) for path, methods in document["paths"].items()]
        self._rows = sorted(rows, key=lambda row: row[0].count("{"))  # words of a path before its parameters

    @classmethod
    def of(cls, read_document: Callable[[], dict[str, Any]]) -> AnswerForms:
        if not cls._known:
            cls._known.append(cls(read_document()))
        return cls._known[0]

    def check(self, method: str, path: str, status: int | None, answer: Any) -> None:
        """An answer that is no error, of a route that the document has. Without a status: the one of what is done."""
        words = path.partition("?")[0]
        key = method.lower()
        found = next(((name, row[key]) for name, fits, row in self._rows if key in row and fits.fullmatch(words)), None)
        if found is None:
            return
        name, operation = found
        status = status or next(int(one) for one in ("200", "201", "202") if one in operation["responses"])
        validator = self._validators.get((key, name, status))
        if validator is None:
            content = operation["responses"][str(status)]["content"]
            if _JSON not in content and content:
                return  # a file: its bytes may look like JSON
            schema = content[_JSON]["schema"]
            assert "$ref" in schema, f"{method} {name} has no form for {status}"
            validator = Draft202012Validator({**schema, "components": self._components})
            self._validators[key, name, status] = validator
        faults = [f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(answer)]
        assert not faults, f"{method} {name} {status} has not the form of the document: {faults}"


def closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name."""
    if isinstance(schema, dict):
        found = {key: closed(value) for key, value in schema.items()}
        if "properties" in found:
            return {**found, "additionalProperties": False}
        return found
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    return schema


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(
        "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path))
    )
