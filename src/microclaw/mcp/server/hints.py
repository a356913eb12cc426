"""Next steps for a model: an assistant may have a shell, and would run a command that it reads. Tools know more."""

from __future__ import annotations

import re
from typing import Final

_TOOLS: Final = {  # what a client calls instead of a command
    "app list": "query-wasm-apps",
    "app undo": "undo",
    "app uninstall": "uninstall-wasm-app",
    "app stop": "switch-program",
    "app start": "switch-program",
    "app restart": "switch-program",
    "app build": "try-program",
    "logs": "read-logs",
    "device list": "list-devices",
    "device show": "device-info",
    "schedule list": "schedule-list",
    "schedule rm": "schedule-remove",
    "schedule pause": "schedule-remove",
    "schedule resume": "schedule-remove",
    "schedule add": "schedule-add",
}
_PERSON: Final = "the person can, on the host's own command line"
_COMMANDS: Final = (
    "app|approval|backup|chat|config|demo|device|doctor|exec|firmware|flash|fleet|logs|mcp|memory|person|run|schedule"
    "|setup|status|task|up|virtual(?! board)|voice"
)
_COMMAND: Final = re.compile(rf"`?\bmicroclaw ((?:{_COMMANDS})\b(?: (?:-{{0,2}}[A-Za-z0-9][\w.:/-]*|\"[^\"]*\"))*)`?")


def without_commands(text: str) -> str:
    """The text with each `microclaw ...` command as a tool to call, or as the person's part."""
    return _COMMAND.sub(lambda found: _instead(found[1]), text)


def _instead(command: str) -> str:
    verb, *rest = command.split()
    tool = _TOOLS.get(verb) or _TOOLS.get(" ".join((verb, *rest[:1])))
    if tool is None:
        return _PERSON
    number = next((word for word in rest if word.isdecimal()), None)
    return f"call {tool}" if number is None else f"call {tool} for {number}"
