"""The tools that a model is offered: a dozen, in few words, and every other one within reach."""

from __future__ import annotations

import json
from typing import Any

from tests.agent.turn.tools.conftest import Bench

from microclaw.agent.turn.tool_selection import MORE_TOOLS, brief, more_tools
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput, ToolResult


class Nothing(Parameters):
    pass


async def ran(_: Any, __: ToolContext) -> ToolOutput:
    return ToolOutput({"success": True})


def tool(name: str, description: str = "", **more: Any) -> Any:
    return Tool(name, description, Nothing, Permission.READ, Effect.READ, ran, **more)


def toolbox(*more: Tool[Any]) -> Toolbox:
    box = Toolbox((tool("gpio-set", "Sets a pin. Then it is set."), tool("web-fetch"), *more), Gate())
    return box.with_more((more_tools(lambda: box.tools),))


async def more(box: Toolbox, **asked: Any) -> tuple[ToolResult, Any]:
    result = await box.call(MORE_TOOLS, json.dumps(asked), ToolContext("owner", lambda _: None))
    return result, json.loads(result.content)


async def test_more_tools_says_what_there_is_and_is_tainted_by_a_servers_own_words_alone() -> None:
    box = toolbox(tool("mcp_garden_irrigate", "Opens the irrigation valve of a bed.", schema={"type": "object"}))
    result, found = await more(box, names=["mcp_garden_irrigate"])
    assert (list(found["offered"]), result.foreign) == (["mcp_garden_irrigate"], True)
    assert not (await more(box, names=["web-fetch"]))[0].foreign
    _, unknown = await more(box, names=["fly"])
    assert (unknown["success"], unknown["unknown"]) == (False, ["fly"])
    assert "gpio-set" in unknown["tools"]
    result, every = await more(box)
    assert (every["success"], result.foreign) == (True, False), "it says: call it without names"
    assert every["tools"] == {"gpio-set": "Sets a pin", "web-fetch": "", "mcp_garden_irrigate": ""}


def test_a_schema_for_a_model_is_plain_and_that_of_a_server_stays_whole(bench: Bench) -> None:
    for spec in map(brief, bench.tools.tools):
        for word in ("anyOf", "$ref", "null", "title", "maxLength"):
            assert word not in spec.schema, (spec.name, word)
        assert json.loads(spec.schema)["properties"].get("device") in (None, {"type": "string"})
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    properties = {"node": {"$ref": "#/$defs/node"}, "device": True}
    foreign = {"type": "object", "properties": properties, "$defs": {"node": node}}
    assert json.loads(brief(tool("mcp_tree", schema=foreign)).schema) == foreign
