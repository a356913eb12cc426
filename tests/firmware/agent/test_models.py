"""The board's own agent with a model's key: the two kinds of servers, tools, TLS, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.agent.conftest import AUTHORITY, KEY, NOW, AgentBoard, Asked, anthropic, ask, scripted

from microclaw.auth.certificates import new_authority, server_certificate


async def test_anthropic_answers_with_a_tool_in_between(board: AgentBoard, tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        last = asked.json["messages"][-1]["content"]
        if last == "switch pin 4 on 😀":
            return anthropic("At once.", ("gpio_write", {"pin": 4, "level": 1}), ("get_time", {}))
        return anthropic("It is on 😀.")

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url, model="claude-test")
        async with board.running(), board.client() as client:
            assert await ask(client, "switch pin 4 on 😀") == "It is on 😀."
            first, second = server.asked
            assert first.path == "/v1/messages"
            assert (first.headers["x-api-key"], first.headers["anthropic-version"]) == (KEY, "2023-06-01")
            assert first.json["model"] == "claude-test"
            assert first.json["messages"] == [{"role": "user", "content": "switch pin 4 on 😀"}]
            assert {"name", "description", "input_schema"} == set(first.json["tools"][0])
            assert "web_search" not in [tool["name"] for tool in first.json["tools"]]  # no key for it
            results = second.json["messages"][-1]["content"]
            assert [row["tool_use_id"] for row in results] == ["toolu_1", "toolu_2"]
            assert results[0] == {"type": "tool_result", "tool_use_id": "toolu_1", "content": "pin 4 is 1"}
            assert second.json["messages"][-2]["content"][0] == {"type": "text", "text": "At once."}
            assert await ask(client, "and now?")
            history = server.asked[-1].json["messages"]
            assert [row["content"] for row in history] == ["switch pin 4 on 😀", "It is on 😀.", "and now?"]
    assert board.session("ws_client1")[:2] == [("user", "switch pin 4 on 😀"), ("assistant", "It is on 😀.")]
    assert KEY not in "\n".join(board.lines)


async def test_openai_answers_with_a_tool_in_between(board: AgentBoard, tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        last = asked.json["messages"][-1]
        if last["role"] == "user":
            call = {"name": "list_programs", "arguments": "{}"}
            calls = [{"id": "call_1", "type": "function", "function": call}]
            return {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": calls}}]}
        return {"choices": [{"message": {"role": "assistant", "content": f"Programs: {last['content']}"}}]}

    async with scripted(tmp_path, script, plain=True) as server:  # a server in the person's own network
        url = server.url.replace("https", "http") + "/v1"
        board.agent(provider="openai", model_url=url, model="small", api_key=KEY)
        async with board.running(), board.client() as client:
            assert await ask(client, "what runs?") == "Programs: (nothing)"
    first, second = server.asked
    assert first.path == "/v1/chat/completions"
    assert "authorization" not in first.headers  # a key never goes in clear
    assert first.json["messages"][0]["role"] == "system"
    assert first.json["tools"][0]["type"] == "function"
    assert second.json["messages"][-2]["tool_calls"][0]["function"] == {"name": "list_programs", "arguments": "{}"}
    assert second.json["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "(nothing)"}


async def test_a_model_that_calls_tools_for_ever_is_stopped_after_ten(board: AgentBoard, tmp_path: Path) -> None:
    async with scripted(tmp_path, lambda _: anthropic(("get_time", {}))) as server:
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            assert "stopped after 10 steps" in await ask(client, "go on for ever")
        assert len(server.asked) == 10


TOOLS = {
    "a pin of the flash": (("gpio_write", {"pin": 6, "level": 1}), "reserved"),
    "a pin that is none": (("gpio_write", {"pin": 999, "level": 1}), "pin 999"),
    "a level that is none": (("gpio_write", {"pin": 4, "level": "high"}), "not of the right kind"),
    "no inputs": (("gpio_write", {}), "level is missing"),
    "a tool that is none": (("rm", {"name": "/"}), "no tool of this name"),
    "a method of ours": (("_write_file", {}), "no tool of this name"),
    "the keys": (("read_file", {"name": "settings.json"}), "only these"),
    "a conversation": (("read_file", {"name": "sessions/tg_1.jsonl"}), "only these"),
    "up and away": (("read_file", {"name": "files/../settings.json"}), "only these"),
    "the personality": (("write_file", {"name": "config/SOUL.md", "content": "evil"}), "only these"),
    "a giant file": (("write_file", {"name": "files/x", "content": "x" * 17_000}), "at most 16384"),
    "no program": (("start_program", {"name": "ghost"}), "ghost"),
    "a job in the past": (("cron_add", {"name": "x", "message": "y", "at_s": 5}), "coming year"),
    "a job each second": (("cron_add", {"name": "x", "message": "y", "every_s": 1}), "60 to"),
}


@pytest.mark.parametrize("what", list(TOOLS))
async def test_a_tool_refuses_in_words(what: str, board: AgentBoard, tmp_path: Path) -> None:
    call, words = TOOLS[what]

    def script(asked: Asked) -> Any:
        return anthropic("done") if len(asked.json["messages"]) > 1 else anthropic(call)

    async with scripted(tmp_path, script) as server:
        facts = {"name": "x", "chip": "ESP32", "memory_floor": 0, "reserved": {"6": "the flash"}}
        board.write("settings.json", json.dumps({"board": facts}))
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            assert await ask(client, "do it") == "done"
        result = server.asked[1].json["messages"][-1]["content"][0]
        assert result["is_error"] is True
        assert words in result["content"]


async def test_files_jobs_and_programs_are_what_tools_say(board: AgentBoard, tmp_path: Path) -> None:
    calls = [
        ("write_file", {"name": "memory/MEMORY.md", "content": "The lamp is at pin 4.\n"}),
        ("write_file", {"name": "memory/MEMORY.md", "content": "It is red.", "append": True}),
        ("read_file", {"name": "memory/MEMORY.md"}),
        ("list_files", {}),
        ("cron_add", {"name": "look", "message": "look at the lamp", "every_s": 60}),
        ("cron_list", {}),
        ("cron_remove", {"id": "1"}),
        ("adc_read", {"pin": 34}),
    ]

    def script(asked: Asked) -> Any:
        return anthropic("done") if len(asked.json["messages"]) > 1 else anthropic(*calls)

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            await ask(client, "do it")
            results = [row["content"] for row in server.asked[1].json["messages"][-1]["content"]]
            assert not [row for row in server.asked[1].json["messages"][-1]["content"] if "is_error" in row]
            assert results[2].endswith("The lamp is at pin 4.\nIt is red.")
            assert "memory/MEMORY.md: 32" in results[3]
            assert results[4].startswith("job 1, next at ")
            assert results[7].startswith("1.65 V")
            await ask(client, "again")
            assert "The lamp is at pin 4." in server.asked[2].json["system"]


async def test_what_a_search_finds_is_marked_as_the_webs(board: AgentBoard, tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        if asked.verb == "GET":
            return {"web": {"results": [{"title": "Sun", "url": "https://example.org", "description": "all day"}]}}
        return anthropic("Sun.") if len(asked.json["messages"]) > 1 else anthropic(("web_search", {"query": "rain é?"}))

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url, search_key="brave", search_url=server.url + "/search")
        async with board.running(), board.client() as client:
            assert await ask(client, "the weather?") == "Sun."
    assert server.asked[1].path == "/search?count=5&q=rain%20%C3%A9%3F"
    assert server.asked[1].headers["x-subscription-token"] == "brave"
    assert "not of the person" in server.asked[2].json["messages"][-1]["content"][0]["content"]


def answer(data: bytes, head: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{head or f'Content-Length: {len(data)}'}\r\n\r\n".encode() + data


HOSTILE = {
    "giant": (answer(b"x" * 1_000_000), "longer than 65536"),
    "endless": (
        answer(b"10000\r\n" + b"x" * 65536 + b"\r\n10000\r\n" + b"x" * 65536, "Transfer-Encoding: chunked"),
        "longer",
    ),
    "a length that lies": (answer(b"{}", "Content-Length: 5000"), "middle of its answer"),
    "no length": (answer(b"{}", "X: y"), "how long"),
    "a negative length": (answer(b"{}", "Content-Length: -1"), "longer"),
    "no HTTP": (b"hello\r\n\r\n", "no answer of localhost"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000, "no answer of localhost"),
    "a long line": (b"HTTP/1.1 200 " + b"x" * 100_000, "no answer of localhost"),
    "nothing": (b"", "middle of its answer"),
    "no JSON": (answer(b"<html>"), "no answer of a model"),
    "not UTF-8": (answer(b'{"content": "\xff"}'), "no answer of a model"),
    "a list": (answer(b"[1]"), "no answer of a model"),
    "content of numbers": (answer(b'{"content": [1, 2]}'), "no answer of a model"),
    "text that is none": (answer(b'{"content": [{"type": "text", "text": {}}]}'), "no answer of a model"),
    "nested": (answer(b"[" * 30_000 + b"]" * 30_000), "no answer of a model"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://evil\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
    "an error with the key": ((401, {"error": {"message": f"wrong key {KEY}"}}), "HTTP 401): wrong key ****"),
    "nothing said": (anthropic(), "answered nothing"),
}


@pytest.mark.parametrize("what", list(HOSTILE))
async def test_a_server_that_misbehaves_is_told_in_words_and_the_next_answer_is_good(
    what: str, board: AgentBoard, tmp_path: Path
) -> None:
    bad, words = HOSTILE[what]

    async with scripted(tmp_path, lambda asked: anthropic("fine") if len(server.asked) > 1 else bad) as server:
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            found = await ask(client, "hello")
            assert words in found
            assert KEY not in found
            assert await ask(client, "hello") == "fine"
    assert KEY not in "\n".join(board.lines)


async def test_deep_inputs_of_a_tool_are_refused(board: AgentBoard, tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    async with scripted(tmp_path, lambda _: anthropic(("get_time", {"x": deep}))) as server:
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            assert "no answer of a model" in await ask(client, "hello")


OTHER = new_authority(NOW, 9)
BAD_TLS = {
    "another authority": lambda: server_certificate(OTHER, ["localhost"], [], NOW, 3),
    "another name": lambda: server_certificate(AUTHORITY, ["example.org"], [], NOW, 3),
    "expired": lambda: server_certificate(AUTHORITY, ["localhost"], [], NOW - timedelta(days=120), 3),
}


@pytest.mark.parametrize("what", list(BAD_TLS))
async def test_a_server_that_cannot_be_verified_never_gets_the_key(
    what: str, board: AgentBoard, tmp_path: Path
) -> None:
    async with scripted(tmp_path, lambda _: anthropic("hello"), BAD_TLS[what]()) as server:
        board.agent(api_key=KEY, model_url=server.url)
        async with board.running(), board.client() as client:
            assert "no answer of localhost" in await ask(client, "hello")
    assert server.asked == []


async def test_without_an_authority_nothing_is_sent_and_the_answer_says_how_to_give_one(
    board: AgentBoard, tmp_path: Path
) -> None:
    async with scripted(tmp_path, lambda _: anthropic("hello")) as server:
        board.agent(api_key=KEY, model_url=server.url)
        (board.folder / "agent_data/ca/1.der").unlink()
        async with board.running(), board.client() as client:
            assert "ca_pem" in await ask(client, "hello")
        assert server.asked == []


async def test_one_authority_of_a_bundle_is_enough(board: AgentBoard, tmp_path: Path) -> None:
    async with scripted(tmp_path, lambda _: anthropic("hello")) as server:
        board.agent(api_key=KEY, model_url=server.url)
        pems = [pair.to_pem().decode() for pair in (OTHER, AUTHORITY)]
        broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        (board.folder / "agent_data/ca/1.der").unlink()
        board.write("agent_data/ca/all.pem", "# some\n" + pems[0] + broken + pems[1])
        async with board.running(), board.client() as client:
            assert await ask(client, "hello") == "hello"


async def test_a_model_that_never_answers_is_left_and_the_next_message_is_taken(
    board: AgentBoard, tmp_path: Path
) -> None:
    never = asyncio.Event()

    async def script(asked: Asked) -> Any:
        if len(server.asked) == 1:
            await never.wait()
        return anthropic("fine")

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url)
        board.environ["MICROCLAW_TURN_S"] = "2"
        async with board.running(), board.client() as client:
            assert "2 s were not enough" in await ask(client, "hello")
            assert await ask(client, "hello") == "fine"
        never.set()


async def test_the_model_is_told_which_skills_there_are_and_reads_one(board: AgentBoard, tmp_path: Path) -> None:
    def script(asked: Asked) -> Any:
        if isinstance(asked.json["messages"][-1]["content"], str):
            return anthropic(("read_file", {"name": "skills/plants.md"}))
        return anthropic("They need water.")

    async with scripted(tmp_path, script) as server:
        board.agent(api_key=KEY, model_url=server.url, model="claude-test")
        (board.folder / "agent_data/skills").mkdir()
        board.write("agent_data/skills/plants.md", "the plants\nRead pin 34; below 1 V they need water.\n")
        async with board.running(), board.client() as client:
            assert await ask(client, "how are the plants?") == "They need water."
    first, second = server.asked
    assert "skills/plants.md: the plants" in first.json["system"]
    assert "Read pin 34" not in first.json["system"]
    assert "Read pin 34" in second.json["messages"][-1]["content"][0]["content"]
