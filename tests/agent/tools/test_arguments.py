"""A fault in a call's arguments is refused before the tool runs; a fault of ours is a result, too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.agent.conftest import Workshop

from microclaw.agent.acts import RanCall
from microclaw.agent.toolbox import Toolbox
from microclaw.auth.gate import Effect, Permission
from microclaw.errors import ToolRetry
from microclaw.models.protocol import ToolCall
from microclaw.operations.tool import MAX_NUMBER, Parameters, Tool, ToolContext, read_arguments


class Numbers(Parameters):
    one: int | None = None
    some: tuple[int, ...] = ()
    device: str | None = None


@pytest.fixture
def toolbox() -> Toolbox:
    return Workshop().toolbox()


def context() -> ToolContext:
    return ToolContext("owner", lambda _step: None)


@pytest.mark.parametrize("number", [10**30, 2**63, -(2**63) - 1, float("nan"), float("inf")])
@pytest.mark.parametrize("form", ["{}", '"{}"'])
async def test_a_number_that_no_store_holds_is_refused(toolbox: Toolbox, number: float, form: str) -> None:
    result = await toolbox.call("gpio-set", f'{{"pin": {form.format(number)}}}', context())
    assert result.error_code == "tool_retry"


def read(parameters: type[Parameters], **given: Any) -> Any:
    tool = Tool("t", "", parameters, Permission.READ, Effect.READ, None)  # type: ignore[arg-type]
    return read_arguments(tool, json.dumps(given))


def test_numbers_in_lists_are_bounded_too() -> None:
    assert read(Numbers, one=MAX_NUMBER, some=(-MAX_NUMBER,)).one == MAX_NUMBER
    with pytest.raises(ToolRetry):
        read(Numbers, some=(1, 2**64))


@pytest.mark.parametrize(
    "arguments",
    [
        '{"pin": 4, "pin": 5}',
        '{"pin": 4, "level": {"a": 1, "a": 2}}',
        '{"pin": 4, "device": "\\ud800"}',
        '{"pin": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"pin": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
    ],
)
@pytest.mark.parametrize("tool", ["gpio-set", "gpio-get"])
async def test_arguments_that_mean_two_things_or_nothing_are_refused(
    toolbox: Toolbox, tool: str, arguments: str
) -> None:
    result = await toolbox.call(tool, arguments, context())
    assert result.error_code == "tool_retry"
    assert RanCall(ToolCall("1", tool, arguments), toolbox.effect_of(tool), result).outcome == "refused"


async def test_a_fault_of_ours_is_a_result(toolbox: Toolbox, caplog: pytest.LogCaptureFixture) -> None:
    result = await toolbox.call("crash", "{}", context())
    assert (result.ok, result.error_code) == (False, "internal")
    assert "a fault of ours" not in result.content
    assert "a fault of ours" in caplog.text
    assert json.loads(result.content)["next"]
    assert RanCall(ToolCall("1", "crash", "{}"), toolbox.effect_of("crash"), result).outcome == "unknown"


class Switch(Parameters):
    on: bool | None = None
    volume: int | None = None
    name: str | None = None


@pytest.mark.parametrize("on", [True, False])
def test_a_yes_or_no_that_may_be_left_out_can_be_given(on: bool) -> None:
    assert read(Switch, on=on).on is on


@pytest.mark.parametrize("given", [{"volume": True}, {"name": True}])
def test_true_is_no_value_of_another_kind(given: dict[str, object]) -> None:
    with pytest.raises(ToolRetry):
        read(Switch, **given)
