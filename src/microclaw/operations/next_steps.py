"""The next step of an error, as its reader can take it: a person's command, a model's tool. It runs nothing.

Errors name commands, for people. `name_tools` is for the host's own model, `client_text` for a client of MCP.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.tables import read_table

TOOL_OF: Final[dict[str, str]] = read_table(__package__, "next_steps")
"""By command, the tool that does the same. What no tool does (pairing, settings) is a person's."""
# A command with options stays, as a tool has none of them.
_COMMAND: Final = re.compile(rf"\bmicroclaw ({'|'.join(TOOL_OF)})\b(?![^,;\n]* --)")
_ANY_COMMAND: Final = re.compile(
    r"\bmicroclaw (?=(?:-d \S+ )?(?:app|approval|backup|chat|config|demo|device|doctor|exec|firmware|flash|fleet|logs"
    r"|mcp|memory|person|run|schedule|setup|status|task|up|virtual(?! board)|voice)\b)"
)


def name_tools(text: str) -> str:
    """Return the text with tools instead of commands; a command that no tool does stays."""
    return _COMMAND.sub(lambda command: TOOL_OF[command[1]], text)


def client_text(text: str) -> str:
    """Return the text with tools instead of commands; a command that no tool does is said to be a person's.

    An assistant with a shell would run it itself.
    """
    return _ANY_COMMAND.sub("a person can run on the host: ", name_tools(text))
