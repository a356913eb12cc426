"""The next step of an error, as a model reads it: with its tools instead of a person's commands. It runs nothing."""

from __future__ import annotations

import re
from typing import Final

_TABLE: Final = """\
app list = query-wasm-apps
app uninstall = uninstall-wasm-app
app stop = switch-program (stop)
app start = switch-program (start)
app restart = switch-program (restart)
app undo = undo
app search = catalog
device list = list-devices
device show = device-info
device check = check-device
logs = read-logs
run = deploy-wasm-app
schedule list = schedule-list
schedule add = schedule-add
schedule resume = schedule-resume
schedule rm = schedule-remove
"""
TOOL_OF: Final = dict(line.split(" = ") for line in _TABLE.splitlines())
"""By command, the tool that does the same. What no tool does (pairing, settings) is a person's."""
_COMMAND: Final = re.compile(rf"\bmicroclaw ({'|'.join(TOOL_OF)})\b(?![^,;\n]* --)")
"""A command with options stays, as a tool has none of them."""


def name_tools(text: str) -> str:
    """Return the text with tools instead of commands; a command that no tool does stays."""
    return _COMMAND.sub(lambda command: TOOL_OF[command[1]], text)
