"""The MCP bundle's manifest, by the rules of manifest 0.4 (MANIFEST.md of the MCPB project), written down as data."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "packaging/mcpb"
MANIFEST: Final[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text())
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_TEXT: Final = {"type": "string", "minLength": 1}
_RUN: Final = {
    "command": _TEXT,
    "args": {"type": "array", "items": _TEXT},
    "env": {"type": "object", "additionalProperties": {"type": "string"}},
}


def _strict(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


SCHEMA: Final = _strict(
    {
        "manifest_version": {"const": "0.4"},
        "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+"},
        "description": _TEXT,
        "author": _strict({"name": _TEXT, "email": _TEXT, "url": _TEXT}, "name"),
        "server": _strict(
            {
                "type": {"enum": ["node", "python", "binary", "uv"]},
                "entry_point": _TEXT,
                "mcp_config": _strict(_RUN, "command"),
            },
            "type",
            "entry_point",
        ),
        "display_name": _TEXT,
        "long_description": _TEXT,
        "license": _TEXT,
        "keywords": {"type": "array", "items": _TEXT},
        "tools_generated": {"type": "boolean"},
        "prompts_generated": {"type": "boolean"},
        "compatibility": _strict(
            {
                "platforms": {"type": "array", "items": {"enum": ["darwin", "win32", "linux"]}},
                "runtimes": _strict({"python": _TEXT, "node": _TEXT}),
            }
        ),
    },
    *("manifest_version", "name", "version", "description", "author", "server"),
)


def test_the_manifest_keeps_the_rules() -> None:
    jsonschema.validate(MANIFEST, SCHEMA)


@pytest.mark.parametrize("wrong", [{"unknown": 1}, {"version": "one"}, {"server": {"type": "uv"}}, {"author": {}}])
def test_the_rules_refuse_what_is_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**MANIFEST, **wrong}, SCHEMA)


def test_it_says_what_the_project_says() -> None:
    assert MANIFEST["license"] == PROJECT["license"]
    assert MANIFEST["compatibility"]["runtimes"]["python"] == PROJECT["requires-python"]
    systems = " ".join(PROJECT["classifiers"])
    assert ("darwin" in MANIFEST["compatibility"]["platforms"]) == ("MacOS" in systems)
    assert "win32" not in MANIFEST["compatibility"]["platforms"]


def test_its_server_is_the_command_that_serves_mcp() -> None:
    assert MANIFEST["server"]["mcp_config"]["args"][-1] == MANIFEST["server"]["entry_point"]
    text = (FOLDER / "server.py").read_text()
    assert 'main(["mcp", *sys.argv[1:]])' in text
