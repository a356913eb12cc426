"""The meaning of "undo" in a conversation, with clients of one person beside each other: the real host and a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.people_host import PeopleHost, people_host

from microclaw.devices.calls import GpioGet
from microclaw.wire.host_api import Result


async def levels(host: PeopleHost, *pins: int) -> list[int]:
    return [(await host.device.call(GpioGet(pin))).level for pin in pins]


async def say(host: PeopleHost, text: str, conversation: str) -> str:
    """A sentence in a stored conversation of an OpenAI client of ada's."""
    body = {
        "model": "microclaw",
        "messages": [{"role": "user", "content": text}],
        "metadata": {"conversation": conversation},
    }
    status, answer = await host.ask("ada", "POST", "/v1/chat/completions", body)
    assert status == 200, answer
    return str(answer["choices"][0]["message"]["content"])


async def tool(host: PeopleHost, session: str, name: str, **arguments: Any) -> dict[str, Any]:
    """A tool's result in an MCP session of ada's."""
    events = await host.stream("ada", f"/v1/tools/{name}", {"arguments": arguments, "session": session})
    assert isinstance(events[-1], Result), events
    return dict(events[-1].value["content"])


async def test_undo_leaves_what_another_client_of_the_person_did(tmp_path: Path) -> None:
    async with people_host(tmp_path / "h") as host:
        await say(host, "set pin 6 on", "mine")
        await tool(host, "one", "gpio-set", pin=4, level=1)
        await tool(host, "two", "gpio-set", pin=5, level=1)
        for level in (0, 1):
            call = {"method": "gpio.set", "arguments": {"pin": 7, "level": level}}
            assert (await host.ask("ada", "POST", "/v1/devices/virtual-1/call", call))[0] == 200

        await say(host, "undo that", "mine")
        assert await levels(host, 4, 5, 6, 7) == [1, 1, 0, 1]
        await tool(host, "one", "undo")
        assert await levels(host, 4, 5, 6, 7) == [0, 1, 0, 1]

        refused = await tool(host, "one", "undo")
        assert refused["error"] == "undo_elsewhere"
        assert "pin 7" in await say(host, "undo", "never used")
        assert await levels(host, 5, 7) == [1, 1]
        await say(host, "yes", "never used")
        assert await levels(host, 5, 7) == [1, 0]
