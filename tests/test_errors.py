"""The tree of exceptions: codes, exit codes, next steps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import microclaw

OWN_JSON: Final = {  # what this host, or this command, wrote itself
    "agent/turn/history.py", "interfaces/cli/child.py", "agent/offline/dialogue_state.py", "host/store/rows.py",
    "programs/bench/records.py", "virtual/board_process.py", "devices/virtual_boards/host_boards.py",
    "devices/virtual_boards/process.py",
}  # fmt: skip
WRONG_JSON: Final = {"ValueError", "JSONDecodeError", "DecodeError", "MsgspecError", "ValidationError"}
SOURCE: Final = Path(microclaw.__file__).parent


def forgets_deep_nesting(source: str) -> Iterator[int]:
    """The lines of each `try` that answers JSON which is wrong, and not JSON which is nested too deep."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Try):
            continue
        calls = [found for line in node.body for found in ast.walk(line) if isinstance(found, ast.Call)]
        reads = [ast.unparse(call.func).endswith(("json.loads", "json.load", ".json", "decode_json")) for call in calls]
        types = [handler.type for handler in node.handlers if handler.type is not None]
        caught = {ast.unparse(name).rpartition(".")[2] for one in types for name in getattr(one, "elts", [one])}
        if any(reads) and caught & WRONG_JSON and not caught & {"RecursionError", "Exception"}:
            yield node.lineno


def test_json_of_others_that_is_nested_too_deep_is_answered_as_wrong() -> None:
    """200,000 `[` are a RecursionError in the standard library, and no ValueError."""
    texts = {path: path.read_text("utf-8") for path in SOURCE.rglob("*.py")}
    found = {
        str(path.relative_to(SOURCE)): lines
        for path, text in texts.items()
        if "json" in text and "except" in text and (lines := list(forgets_deep_nesting(text)))
    }
    assert set(found) == OWN_JSON, found
