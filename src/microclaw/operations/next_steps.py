"""The next step of an error, as a model reads it: with its tools instead of a person's commands. It runs nothing."""

from __future__ import annotations

import re
from typing import Final

from microclaw.tables import read_table

TOOL_OF: Final[dict[str, str]] = read_table(__package__, "next_steps")
"""By command, the tool that does the same. What no tool does (pairing, settings) is a person's."""
# A command with options stays, as a tool has none of them.
_COMMAND: Final = re.compile(rf"\bmicroclaw ({'|'.join(TOOL_OF)})\b(?![^,;\n]* --)")


def name_tools(text: str) -> str:
    """Return the text with tools instead of commands; a command that no tool does stays."""
    return _COMMAND.sub(lambda command: TOOL_OF[command[1]], text)
