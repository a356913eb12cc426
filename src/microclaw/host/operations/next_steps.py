"""The next step of an error in the form that its reader can use: a command for people, a tool for a model.

Errors name commands, for people. `name_tools` is for the host's own model, `client_text` for a client of MCP.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.tables import read_table

TOOL_OF: Final[dict[str, str]] = read_table(__package__, "next_steps")
"""The tool for each command. Commands without a tool (pairing, settings) are only for people."""
# A command with options stays, because a tool does not have them.
_COMMAND: Final = re.compile(rf"\bmicroclaw ({'|'.join(TOOL_OF)})\b(?![^,;\n]* --)")
_ANY_COMMAND: Final = re.compile(
    r"\bmicroclaw (?=(?:-d \S+ )?(?:app|approval|backup|chat|config|demo|device|doctor|exec|firmware|flash|fleet|logs"
    r"|mcp|memory|person|run|schedule|setup|status|task|up|virtual(?! board)|voice)\b)"
)


def name_tools(text: str) -> str:
    """Return the text with tools instead of commands; a command without a tool stays."""
    return _COMMAND.sub(lambda command: TOOL_OF[command[1]], text)


def client_text(text: str) -> str:
    """Return the text with tools instead of commands; it says that other commands are for a person.

    Otherwise an assistant with a shell would run them itself.
    """
    return _ANY_COMMAND.sub("a person can run on the host: ", name_tools(text))
