"""Pictures of displays in tool results: models that see get them, in each provider's form; others get only the text."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.agent.models.asking import SECRET, anthropic, closing, openai, request
from tests.agent.models.dialects import Given, GoogleDialect
from tests.agent.models.model_server import anthropic_reply, openai_reply, server

from microclaw.agent.models.protocol import AssistantReply, ImageInput, ToolCall, ToolReturn, UserText
from microclaw.agent.models.provider_wire import history_of
from microclaw.agent.models.providers import GoogleProviderModel, OpenAIProviderModel
from microclaw.agent.models.vision import openai_sees, server_sees

PNG = b"\x89PNG\r\n\x1a\npicture\xff\xfe"
ENCODED = base64.b64encode(PNG).decode()
CONTENT = '{"success":true,"screens":[{"display":"oled1"}]}'
NONE: tuple[int, Any] = (404, {})
ON = {"type": "text", "text": "on"}


def trial(number: int, png: bytes = PNG) -> tuple[AssistantReply, ToolReturn]:
    call = ToolCall(f"id-{number}", "try-program", "{}")
    result = ToolReturn(call.call_id, call.name, CONTENT, images=(ImageInput("image/png", png),))
    return AssistantReply("", (call,)), result


SEEN = request(UserText("what does it show"), *trial(1))


async def test_anthropic_gets_the_picture_within_the_tools_result() -> None:
    async with server((200, anthropic_reply(ON))) as s, closing(anthropic(s.url)) as model:
        await model.respond(SEEN)
    (result,) = s.bodies[0]["messages"][-1]["content"]
    assert result["type"] == "tool_result"
    text, picture = result["content"]
    assert text["text"] == CONTENT
    assert picture["source"] == {"type": "base64", "media_type": "image/png", "data": ENCODED}


async def contents_for(gemini: str) -> list[Any]:
    """Return what a Gemini of this name is sent for two calls of one reply, of which the second has a picture."""
    calls = (ToolCall("id-1", "gpio-set", "{}"), ToolCall("id-2", "try-program", "{}"))
    plain = ToolReturn("id-1", "gpio-set", CONTENT)
    pictured = ToolReturn("id-2", "try-program", CONTENT, images=(ImageInput("image/png", PNG),))
    asked = request(UserText("what does it show"), AssistantReply("", calls), plain, pictured)
    reply = (200, GoogleDialect().whole(Given(text="on")))
    async with server(reply) as s:
        model = GoogleProviderModel(gemini, api_key=SECRET, base_url=s.url)
        async with closing(model):
            await model.respond(asked)
    contents: list[Any] = s.bodies[0]["contents"]
    assert [content["role"] for content in contents[:2]] == ["user", "model"]
    return contents[2:]


def picture_of(part: dict[str, Any]) -> tuple[str, bytes]:
    """Return the type and the bytes of a part's picture: Google reads both spellings of names, and of base64."""
    blob = part.get("inlineData") or part["inline_data"]
    return blob.get("mimeType") or blob["mime_type"], base64.urlsafe_b64decode(blob["data"])


@pytest.mark.parametrize("name", ["gemini-3-flash", "gemini-3.1-pro-preview", "gemini-flash-latest"])
async def test_gemini_3_gets_the_picture_within_the_functions_response(name: str) -> None:
    """Source: https://ai.google.dev/gemini-api/docs/function-calling, multimodal function responses."""
    (results,) = await contents_for(name)
    assert results["role"] == "user"
    plain, pictured = (part["functionResponse"] for part in results["parts"])
    assert (plain["id"], pictured["id"]) == ("id-1", "id-2")
    assert "parts" not in plain
    assert pictured["name"] == "try-program"
    assert CONTENT in pictured["response"].values()
    (picture,) = pictured["parts"]
    assert picture_of(picture) == ("image/png", PNG)


@pytest.mark.parametrize("name", ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.0-flash"])
async def test_an_older_gemini_gets_the_picture_as_a_users_after_all_functions_responses(name: str) -> None:
    """A function's response of an older model takes no pictures, and a content with responses takes nothing else."""
    results, pictures = await contents_for(name)
    responses = [part["functionResponse"] for part in results["parts"]]
    assert [response["id"] for response in responses] == ["id-1", "id-2"]
    assert all("parts" not in response for response in responses)
    assert "success" in json.dumps(responses[1]["response"])
    assert pictures["role"] == "user"
    begin, picture, _ = pictures["parts"]
    assert "id-2" in begin["text"]
    assert picture_of(picture) == ("image/png", PNG)


@pytest.mark.parametrize("name", ["gemini-2.5-flash", "models/gemini-3-flash"])
async def test_gemini_at_googles_compatible_address_gets_the_picture_unasked(name: str) -> None:
    """Google's list of models does not say that they see. The local server is the proxy on the way to Google."""
    address = "http://generativelanguage.googleapis.com/v1beta/openai"
    async with server((200, openai_reply("on"))) as s:
        model = OpenAIProviderModel(name, api_key=SECRET, base_url=address, proxy=s.url)
        async with closing(model):
            await model.respond(SEEN)
    assert s.paths == [f"{address}/chat/completions"]
    result, pictures = s.bodies[0]["messages"][-2:]
    assert (result["role"], result["tool_call_id"]) == ("tool", "id-1")
    assert pictures["role"] == "user"
    picture = pictures["content"][1]
    assert picture == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ENCODED}"}}


SAYS: dict[str, list[tuple[int, Any]]] = {
    "ollama": [(200, {"data": [{"id": "test-model"}]}), NONE, NONE, (200, {"capabilities": ["completion", "vision"]})],
    "llama.cpp": [(200, {"data": [{"id": "test-model"}]}), (200, {"modalities": {"vision": True, "audio": False}})],
    "lm studio": [NONE, NONE, (200, {"data": [{"id": "test-model", "type": "vlm"}]})],
    "openrouter": [
        (200, {"data": [{"id": "test-model", "architecture": {"input_modalities": ["text", "image"]}}]}),
    ],
    "mistral": [(200, {"data": [{"id": "test-model", "capabilities": {"vision": True, "completion_chat": True}}]})],
}
BLIND: list[list[tuple[int, Any]]] = [
    [],
    [(200, {"data": [{"id": "other", "type": "vlm"}]})],
    [(200, {"data": [{"id": "test-model", "capabilities": {"vision": False}}]})],
    [(200, {"data": [{"id": "test-model"}]}), (200, {"modalities": {"vision": False}})],
    [(200, b"[" * 200_000)],
    [(200, {"data": 3, "capabilities": 7, "architecture": "x"})],
]


@pytest.mark.parametrize("kind", SAYS)
async def test_each_kind_of_server_says_that_its_model_sees(kind: str) -> None:
    async with server(*SAYS[kind]) as s:
        assert await server_sees(f"{s.url}/v1", "test-model")


@pytest.mark.parametrize("answers", BLIND)
async def test_a_server_that_does_not_say_it_has_a_blind_model(answers: list[tuple[int, Any]]) -> None:
    async with server(*answers, *[NONE] * (4 - len(answers))) as s:
        assert not await server_sees(f"{s.url}/v1", "test-model")


async def test_a_server_that_does_not_answer_has_a_blind_model() -> None:
    assert not await server_sees("http://127.0.0.1:1/v1", "test-model")


async def test_a_seeing_model_of_a_compatible_server_gets_the_picture_and_its_server_is_asked_once() -> None:
    reply = (200, openai_reply("on"))
    async with server(*SAYS["mistral"], reply, reply) as s, closing(openai(s.url)) as model:
        await model.respond(SEEN)
        await model.respond(SEEN)
    assert s.paths == ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"]
    for sent in s.bodies[-2:]:
        roles = [message["role"] for message in sent["messages"]]
        assert roles[:4] == ["system", "user", "assistant", "tool"]
        assert sent["messages"][3]["tool_call_id"] == "id-1"
        assert f"data:image/png;base64,{ENCODED}" in json.dumps(sent["messages"])


async def test_a_blind_model_gets_the_text_alone_and_nothing_is_asked_without_a_picture() -> None:
    reply = (200, openai_reply("on"))
    async with server(reply, NONE, NONE, NONE, NONE, reply) as s, closing(openai(s.url)) as model:
        await model.respond(request(UserText("hello")))
        await model.respond(SEEN)
    assert s.paths[0] == "/v1/chat/completions"
    assert s.bodies[-1]["messages"][3]["content"] == CONTENT
    assert "image_url" not in json.dumps(s.bodies[-1])


def test_only_the_newest_pictures_are_sent() -> None:
    messages = (UserText("draw"), *trial(1, b"older"), *trial(2))
    seen: Any = history_of(messages, "", sees=True)
    assert seen[2].parts[0].content == CONTENT
    text, picture = seen[4].parts[0].content
    assert (text, picture.data) == (CONTENT, PNG)
    blind: Any = history_of(messages, "")
    assert [message.parts[0].content for message in blind[2::2]] == [CONTENT, CONTENT]


SEEING = ("gpt-4o", "gpt-4.1-mini", "gpt-4-turbo", "gpt-5.2", "o1", "o3", "o4-mini")
TEXT_ONLY = (
    "gpt-3.5-turbo",
    "gpt-4",
    "gpt-4-0613",
    "o1-mini",
    "o3-mini",
    "gpt-4o-audio-preview",
    "gpt-4o-search-preview",
)


def test_openais_own_models_see_but_for_the_old_ones() -> None:
    assert [name for name in (*SEEING, *TEXT_ONLY) if openai_sees(name)] == [*SEEING]
