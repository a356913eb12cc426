"""Writes src/microclaw/client/answers.py: the API's forms of answers as types without pydantic. Run: make docs

It takes the forms that the client names, and what they are made of, from microclaw.api.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import microclaw.api
from microclaw.api.body import RequestBody

CLIENT: Final = Path(__file__).parents[1] / "src" / "microclaw" / "client"
ANSWERS: Final = CLIENT / "answers.py"
HEAD: Final = '''"""The forms of the host's answers. Made from microclaw.api by `make docs`: change them there.

A host may send more fields than these.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict
'''
_NAMED: Final = re.compile(r"\banswers\.([A-Z]\w*)")
_PLAIN: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_LINE: Final = 120


def module_text() -> str:
    """The module, with the forms in the order of their names."""
    forms = dict(_forms())
    wanted = sorted({name for path in CLIENT.glob("*.py") for name in _NAMED.findall(path.read_text("utf-8"))})
    if unknown := sorted(set(wanted) - set(forms)):
        raise SystemExit(f"no model of microclaw.api is called {unknown[0]}: the client names answers.{unknown[0]}")
    _, document = models_json_schema([(forms[name], "validation") for name in wanted], ref_template="#/$defs/{model}")
    found: Mapping[str, dict[str, Any]] = document.get("$defs", {})
    return _formatted("\n\n".join((HEAD, *(_class_text(name, found[name]) for name in sorted(found)))))


def _forms() -> Iterator[tuple[str, type[BaseModel]]]:
    """Models that are no request's body, by name."""
    for each in pkgutil.iter_modules(microclaw.api.__path__):
        for name, value in vars(importlib.import_module(f"microclaw.api.{each.name}")).items():
            if isinstance(value, type) and issubclass(value, BaseModel) and not issubclass(value, RequestBody):
                yield name, value


def _class_text(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    lines = [f"class {name}(TypedDict):"]
    if about := schema.get("description"):
        lines += [f'    """{about}"""' if "\n" not in about else f'    """{about}\n    """', ""]
    for field, form in schema["properties"].items():
        said = _type_text(form)
        line = f"    {field}: {said if field in required else f'NotRequired[{said}]'}"
        about = f"  # {form['description']}" if "description" in form else ""
        lines.append(line + about if len(line + about) <= _LINE else line)
    return "\n".join(lines) + "\n"


def _type_text(form: Mapping[str, Any]) -> str:
    if "$ref" in form:
        return str(form["$ref"]).rpartition("/")[2]
    if "anyOf" in form:
        return " | ".join(dict.fromkeys(_type_text(one) for one in form["anyOf"]))
    if "enum" in form or "const" in form:
        return f"Literal[{', '.join(_quoted(one) for one in form.get('enum', [form.get('const')]))}]"
    match form.get("type"):
        case "array":
            return f"list[{_type_text(form.get('items', {}))}]"
        case "object":
            values = form.get("additionalProperties", True)
            return f"dict[str, {_type_text(values) if isinstance(values, dict) else 'Any'}]"
        case None:
            return "Any"
        case kind:
            return _PLAIN[kind]


def _formatted(text: str) -> str:
    words = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(ANSWERS), "-"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    ANSWERS.write_text(module_text(), encoding="utf-8")
