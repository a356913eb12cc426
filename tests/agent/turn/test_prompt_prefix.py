"""The beginning of a request is that of the one before, over HTTP from a whole host: providers keep it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any

from tests.agent.models.event_streams import Events, openai_stream
from tests.agent.models.model_server import Server, server
from tests.agent.turn.real_host import real_host

Body = dict[str, Any]


def parts(body: Body) -> tuple[str, str]:
    """Return a request's tools, and its messages with the system text first. Providers render one before the other."""
    return json.dumps(body["tools"])[:-1], json.dumps(body["messages"])[:-1]


def kept_share(first: Body, second: Body) -> float:
    """Return how much of the first request the second one repeats at its beginnings."""
    pairs = list(zip(parts(first), parts(second), strict=True))
    kept = sum(len(commonprefix(pair)) for pair in pairs)  # noqa: RUF071  of characters
    return kept / sum(len(old) for old, _ in pairs)


def answers(model: Server, *replies: str | Sequence[tuple[str, Body]]) -> None:
    """Have the model answer in words, or call tools."""
    for reply in replies:
        if isinstance(reply, str):
            model.answers.append((200, Events(openai_stream(reply))))
            continue
        functions = [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in reply]
        calls = [
            {"index": n, "id": f"call_{n}", "type": "function", "function": function}
            for n, function in enumerate(functions)
        ]
        model.answers.append((200, Events(openai_stream(calls=calls))))


async def test_nine_tenths_of_a_request_are_the_beginning_of_the_next_one(tmp_path: Path) -> None:
    async with server() as model:
        environ = {"OPENAI_BASE_URL": f"{model.url}/v1", "MICROCLAW_MODEL": "m"}
        config = "[model]\noffline_first = false\n"
        async with real_host(tmp_path / "home", config=config, environ=environ) as home:
            # What the second turn remembers and recalls has the search read the first one's words.
            looks = [("remember", {"text": "the hall is dry"}), ("recall", {"text": "ficus"})]
            answers(model, "Hello.", looks, "No.")
            for sentence in ("the ficus stands in the cellar", "is it wet there?"):
                await home.say(sentence, chat="talk")
            answers(model, [("more-tools", {"names": ["read-logs", "catalog"]})], [("catalog", {})], "Nothing.", "No.")
            await home.say("what is the ficus about?", chat="search")
            await home.say("and now?", chat="search")
    first, second, _, *searching, last = model.bodies
    assert kept_share(first, second) >= 0.9
    # A turn that had tools added leaves the first ones and all messages as they were, and so does the next turn.
    for request in (*searching, last):
        assert kept_share(searching[0], request) >= 0.9
        assert request["tools"][: len(first["tools"])] == first["tools"]
    offered = [tool["function"]["name"] for tool in searching[1]["tools"]]
    assert offered[len(first["tools"]) :] == ["read-logs", "catalog"]
    # A match of the search is in the newest message, and the next turn has the person's words alone.
    newest = searching[0]["messages"][-1]["content"]
    older = last["messages"][1]["content"]
    assert "stands in the cellar" in newest.partition("</host-note>")[0]
    assert newest.endswith("</host-note>\n\nwhat is the ficus about?")
    assert older == "what is the ficus about?"
