from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from microclaw.errors import ToolRetry
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolOutput, read_arguments


class Input(Parameters, kw_only=True):
    pin: Annotated[int, Meta(ge=0)]
    level: Literal[0, 1] = 0


class Asked(Parameters, kw_only=True):
    name: str
    inputs: Annotated[tuple[Input, ...], Meta(max_length=4)] | None = None


async def run(_: Any, __: Any) -> ToolOutput:
    return ToolOutput({})


TOOL: Tool[Any] = Tool("try", "Try.", Asked, Permission.READ, Effect.READ, run)


@pytest.mark.parametrize(
    ("arguments", "text", "step"),
    [
        (
            {"title": "x"},
            "the request: object contains unknown field 'title'",
            "give one JSON object with: name (string), inputs (array; optional)",
        ),
        (
            {"name": "x", "inputs": [{"at": 1}]},
            "inputs[0]: object contains unknown field 'at'",
            "inputs[0] is an object with: pin (integer), level (0 or 1; optional)",
        ),
        (
            {"name": "x", "inputs": [{"pin": 1}, {}]},
            "inputs[1]: object missing required field 'pin'",
            "inputs[1] is an object with: pin (integer), level (0 or 1; optional)",
        ),
        (
            {"name": "x", "inputs": [{"pin": "left"}]},
            "inputs[0].pin: expected int, got str",
            "inputs[0] is an object with: pin (integer), level (0 or 1; optional)",
        ),
    ],
)
def test_a_fault_is_named_in_quotes_with_the_form_of_its_own_object(arguments: Any, text: str, step: str) -> None:
    with pytest.raises(ToolRetry) as caught:
        read_arguments(TOOL, json.dumps(arguments))
    assert caught.value.message == f"wrong arguments for try: {text}"
    assert caught.value.next_step == step
