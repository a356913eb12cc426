"""A fault in a call's arguments is refused before the tool runs; a fault of ours is a result, too."""

from __future__ import annotations

import json

import pytest
from tests.agent.turn.conftest import Workshop

from microclaw.agent.models.protocol import ToolCall
from microclaw.agent.turn.action_record import action_of
from microclaw.host.operations.tool import (
    MAX_RESULT_BYTES,
    ToolContext,
    ToolResult,
    bounded_json,
)


async def called(tool: str, arguments: str) -> tuple[ToolResult, str]:
    """The result and the outcome."""
    tools = Workshop().toolbox()
    result = await tools.call(tool, arguments, ToolContext("owner", lambda _step: None))
    return result, action_of(ToolCall("1", tool, arguments), tools.effect_of(tool), result).outcome


@pytest.mark.parametrize(
    "arguments",
    [
        *(form % number for number in (10**30, 2**63, -(2**63) - 1, "NaN", "Infinity") for form in ("%s", '"%s"')),
        '4, "pin": 5',
        '4, "level": {"a": 1, "a": 2}',
        '4, "device": "\\ud800"',
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        '4, "x": "' + "y" * 600_000 + '"',
    ],
    ids=lambda one: one[:20],
)
@pytest.mark.parametrize("tool", ["gpio-set", "gpio-get"])
async def test_a_pin_that_means_two_things_or_nothing_is_refused(tool: str, arguments: str) -> None:
    result, outcome = await called(tool, f'{{"pin": {arguments}}}')
    assert (result.error_code, outcome) == ("tool_retry", "refused")


async def test_a_fault_of_ours_is_a_result(caplog: pytest.LogCaptureFixture) -> None:
    result, outcome = await called("crash", "{}")
    assert (result.ok, result.error_code, outcome) == (False, "internal", "unknown")
    assert "a fault of ours" not in result.content
    assert "a fault of ours" in caplog.text
    assert json.loads(result.content)["next"]


@pytest.mark.parametrize(
    "fields",
    [
        {"log": "x" * 100_000},
        {"lines": ["y" * 100] * 1000},
        {"deep": {"a": {"b": ["z" * 50_000] * 9}}},
        {f"k{n}": "v" * 90 for n in range(50)} | {"text": "ä" * 50_000},
    ],
)
def test_a_result_for_the_model_is_bounded_and_json(fields: dict[str, object]) -> None:
    text = bounded_json({"success": True, **fields})
    assert len(text.encode()) <= MAX_RESULT_BYTES
    assert json.loads(text)["success"] is True
    assert json.loads(text)["cut"]


def test_a_result_holds_nothing_hidden_and_loses_nothing() -> None:
    shown = bounded_json({"name": "lamp\u200b\U000e0041\u202e", "text": "漢字 👩\u200d💻"})
    assert shown == '{"name":"lamp\\u200b\\udb40\\udc41\\u202e","text":"漢字 👩\u200d💻"}'
