"""Next steps for an MCP client: the host's commands become tools, or what the person does. It changes no meaning.

An assistant may have a shell, and would run a command that it reads; the tools know more and go through the gate.
"""

from __future__ import annotations

import re
from typing import Final

_TOOLS: Final = (  # a command's beginning, and what a client does instead
    (r"app list", "call query-wasm-apps"),
    (r"app undo (\d+)", r"call undo with change \1"),
    (r"app undo(?: NUMBER)?", "call undo"),
    (r"app uninstall(?: [\w.-]+)?(?: -d [\w.-]+)?", "call uninstall-wasm-app"),
    (r"app (?:stop|start|restart)(?: [\w.-]+)?(?: -d [\w.-]+)?", "call switch-program"),
    (r"app build", "call try-program with the source"),
    (r"logs(?: [\w./-]+)?", "call read-logs"),
    (r"device list", "call list-devices"),
    (r"device show(?: [\w.-]+)?", "call device-info"),
    (r"schedule list", "call schedule-list"),
    (r"schedule rm(?: \d+)?", "call schedule-remove"),
    (r"schedule (pause|resume)(?: \d+)?", r"call schedule-remove with how \1"),
    (r"schedule add(?: \"[^\"]*\")*", "call schedule-add"),
)
_PERSON: Final = "the person can, on the host's own command line"
_COMMANDS: Final = (
    "app|approval|apply|audit|backup|bench|catalog|chat|config|device|discover|doctor|exec|firmware|flash|link|login|logs"
    "|mcp|memory|open|person|restore|rollout|run|schedule|service|session|setup|skill|status|subagent|task|token|try|up"
    "|virtual(?! board)|voice|watch"
)
_COMMAND: Final = re.compile(rf"`?\bmicroclaw ((?:{_COMMANDS})\b(?: (?:-{{0,2}}[A-Za-z0-9][\w.:/-]*|\"[^\"]*\"))*)`?")


def without_commands(text: str) -> str:
    """The text with each `microclaw ...` command as a tool to call, or as the person's part."""
    return _COMMAND.sub(lambda found: _instead(found[1]), text)


def _instead(command: str) -> str:
    """What follows the command's own words is the sentence, and stays."""
    for pattern, tool in _TOOLS:
        found = re.match(rf"{pattern}(?=$|\s)", command)
        if found is not None:
            return f"{found.expand(tool)}{command[found.end() :]}"
    return _PERSON
