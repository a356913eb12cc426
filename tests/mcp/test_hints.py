"""Next steps for an MCP client: tools, never shell commands."""

from __future__ import annotations

import pytest

from microclaw.mcp.server.hints import without_commands


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("see what runs: microclaw app list", "see what runs: call query-wasm-apps"),
        ("an owner may: microclaw app undo 12", "an owner may: call undo for 12"),
        ("microclaw app uninstall blink -d desk", "call uninstall-wasm-app"),
        ("microclaw device show desk lists what it offers", "call device-info"),
        (
            "watch it: microclaw logs desk, or: microclaw app undo",
            "watch it: call read-logs, or: call undo",
        ),
        ("microclaw person tokens --add NAME", "the person can, on the host's own command line"),
        ("start one: `microclaw up --virtual 1`", "start one: the person can, on the host's own command line"),
        ("is it a microclaw virtual board of this version?", "is it a microclaw virtual board of this version?"),
        ("name one of those", "name one of those"),
    ],
)
def test_a_command_becomes_a_tool_or_the_persons_part(text: str, told: str) -> None:
    assert without_commands(text) == told
