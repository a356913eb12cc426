"""Answers in the shapes in which the usual model servers send them, from their documentation. Holds no test.

A chat-completions server differs from OpenAI in a few fields; Anthropic and Google have formats of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.agent.models.asking import SECRET
from tests.agent.models.event_streams import DONE, Events, event

from microclaw.agent.models.protocol import Model
from microclaw.agent.models.providers import AnthropicProviderModel, GoogleProviderModel, OpenAIProviderModel

End: TypeAlias = Literal["stop", "length", "filter"]
Json: TypeAlias = dict[str, Any]
SIGNATURE = "U0lHTkVE"


@dataclass(frozen=True)
class Given:
    """An answer of a server: a thought, a text, calls as name and arguments, and the end."""

    thought: str = ""
    text: str = ""
    calls: Sequence[tuple[str, Json]] = ()
    end: End = "stop"


def _nothing(_: Any) -> Any:
    return None


@dataclass(frozen=True)
class ChatDialect:
    """A server with chat completions, by the fields in which it differs from OpenAI."""

    name: str
    model_name: str = "test-model"
    address: str = ""  # it is asked by the proxy of the test, as its own address decides what is sent
    thoughts_in: Sequence[str] = ()
    call_id: Callable[[int], str] = "call_{}".format
    has_one_index: bool = False
    has_pieces: bool = True  # of a call's arguments
    is_object: bool = False  # the arguments of a whole answer's call
    call_fields: Json = field(default_factory=dict)  # of the first call
    message_fields: Json = field(default_factory=dict)  # of an answer with a thought
    chunk_fields: Json = field(default_factory=dict)
    before: bytes = b""
    reads_back: Callable[[Json], Any] = _nothing
    expected_back: Any = None

    @property
    def shows_thoughts(self) -> bool:
        return bool(self.thoughts_in)

    def model(self, url: str) -> Model:
        if self.address:
            return OpenAIProviderModel(self.model_name, api_key=SECRET, base_url=self.address, proxy=url)
        return OpenAIProviderModel(self.model_name, api_key=SECRET, base_url=f"{url}/v1")

    def back(self, request: Json) -> Any:
        messages = [message for message in request["messages"] if message.get("tool_calls")]
        return self.reads_back(messages[0])

    def whole(self, given: Given) -> Json:
        message: Json = {"role": "assistant", "content": given.text or None, **self._thought(given)}
        if given.calls:
            message["tool_calls"] = [self._call(number, *call) for number, call in enumerate(given.calls)]
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": self._finish(given)}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        }

    def stream(self, given: Given) -> Events:
        deltas: list[Json] = [{"role": "assistant", "content": ""}]
        if given.thought:
            deltas.append(self._thought(given))
        deltas += [{"content": piece} for piece in pieces_of(given.text)]
        for number, call in enumerate(given.calls):
            deltas += [{"tool_calls": [piece]} for piece in self._call_pieces(number, *call)]
        chunks = [self._chunk(delta, None) for delta in deltas]
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        end = self._chunk({}, self._finish(given))
        return Events(
            [
                *([self.before] if self.before else []),
                *chunks,
                end,
                _data({**self._head("chat.completion.chunk"), "choices": [], "usage": usage}),
                DONE,
            ]
        )

    def _head(self, kind: str) -> Json:
        return {
            "id": "chatcmpl-1",
            "object": kind,
            "created": 1_700_000_000,
            "model": "test-model",
            **self.chunk_fields,
        }

    def _chunk(self, delta: Json, finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _data({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _thought(self, given: Given) -> Json:
        if not given.thought:
            return {}
        return {**dict.fromkeys(self.thoughts_in, given.thought), **self.message_fields}

    def _call(self, number: int, name: str, arguments: Json) -> Json:
        written = arguments if self.is_object else json.dumps(arguments)
        call = {"id": self.call_id(number), "type": "function", "function": {"name": name, "arguments": written}}
        return {**call, **(self.call_fields if number == 0 else {})}

    def _call_pieces(self, number: int, name: str, arguments: Json) -> list[Json]:
        index = 0 if self.has_one_index else number
        call = {"index": index, **self._call(number, name, arguments)}
        written = json.dumps(arguments)
        if not self.has_pieces:
            return [{**call, "function": {"name": name, "arguments": written}}]
        begin = {**call, "function": {"name": name, "arguments": ""}}
        return [begin, *({"index": index, "function": {"arguments": piece}} for piece in pieces_of(written))]

    def _finish(self, given: Given) -> str:
        if given.end == "filter":
            return "content_filter"
        return "tool_calls" if given.calls and given.end == "stop" else given.end


@dataclass(frozen=True)
class AnthropicDialect:
    """Anthropic's Messages: blocks, of which a thought is signed."""

    name: str = "anthropic"
    expected_back: Any = SIGNATURE
    shows_thoughts: bool = True

    def model(self, url: str) -> Model:
        return AnthropicProviderModel("claude-sonnet-5-5", api_key=SECRET, base_url=url)

    def back(self, request: Json) -> Any:
        blocks = [block for message in request["messages"] for block in message["content"]]
        return next((block["signature"] for block in blocks if block["type"] == "thinking"), None)

    def whole(self, given: Given) -> Json:
        blocks: list[Json] = []
        if given.thought:
            blocks.append({"type": "thinking", "thinking": given.thought, "signature": SIGNATURE})
        if given.text:
            blocks.append({"type": "text", "text": given.text})
        for number, (name, arguments) in enumerate(given.calls):
            blocks.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments})
        return {**self._message(), "content": blocks, "stop_reason": self._stop(given)}

    def stream(self, given: Given) -> Events:
        events = [event("message_start", message=self._message()), event("ping")]
        for index, block in enumerate(self.whole(given)["content"]):
            events += self._block_events(index, block)
        end = {"stop_reason": self._stop(given), "stop_sequence": None}
        events += [event("message_delta", delta=end, usage={"output_tokens": 20}), event("message_stop")]
        return Events(events)

    def _block_events(self, index: int, block: Json) -> list[bytes]:
        match block["type"]:
            case "thinking":
                empty: Json = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [
                    {"type": "thinking_delta", "thinking": block["thinking"]},
                    {"type": "signature_delta", "signature": SIGNATURE},
                ]
            case "text":
                empty = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces_of(block["text"])]
            case _:
                empty = {**block, "input": {}}
                written = json.dumps(block["input"])
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces_of(written)]
        return [
            event("content_block_start", index=index, content_block=empty),
            *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
            event("content_block_stop", index=index),
        ]

    def _message(self) -> Json:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-5-5",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20},
        }

    def _stop(self, given: Given) -> str:
        if given.end == "stop":
            return "tool_use" if given.calls else "end_turn"
        return {"length": "max_tokens", "filter": "refusal"}[given.end]


@dataclass(frozen=True)
class GoogleDialect:
    """Google's own format: parts, of which the first call is signed."""

    name: str = "google"
    expected_back: Any = SIGNATURE
    shows_thoughts: bool = True

    def model(self, url: str) -> Model:
        return GoogleProviderModel("gemini-3-flash", api_key=SECRET, base_url=url)

    def back(self, request: Json) -> Any:
        parts = [part for content in request["contents"] for part in content["parts"]]
        return next((part.get("thoughtSignature") for part in parts if "functionCall" in part), None)

    def whole(self, given: Given) -> Json:
        if given.text:
            texts = [given.text]
        else:
            texts = []
        return self._response(self._parts(given, texts), self._finish(given))

    def stream(self, given: Given) -> Events:
        chunks = [self._response([part], None) for part in self._parts(given, pieces_of(given.text))]
        chunks.append(self._response([{"text": ""}], self._finish(given)))
        return Events([_data(chunk) for chunk in chunks])

    def _parts(self, given: Given, texts: Sequence[str]) -> list[Json]:
        parts: list[Json] = []
        if given.thought:
            parts.append({"text": given.thought, "thought": True})
        parts += [{"text": piece} for piece in texts]
        for number, (name, arguments) in enumerate(given.calls):
            if number == 0:
                signed = {"thoughtSignature": SIGNATURE}
            else:
                signed = {}
            parts.append({"functionCall": {"name": name, "args": arguments}, **signed})
        return parts

    def _response(self, parts: list[Json], finish: str | None) -> Json:
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3-flash", "responseId": "r1"}

    def _finish(self, given: Given) -> str:
        return {"stop": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY"}[given.end]


def pieces_of(text: str) -> list[str]:
    """Return the text in pieces of three characters."""
    return [text[start : start + 3] for start in range(0, len(text), 3)]


def _data(document: Json) -> bytes:
    return f"data: {json.dumps(document)}\n\n".encode()


_DETAILS = [
    {"type": "reasoning.encrypted", "data": SIGNATURE, "id": "rs_1", "format": "openai-responses-v1", "index": 0}
]

Dialect: TypeAlias = ChatDialect | AnthropicDialect | GoogleDialect
"""A server's way to answer; `back` reads from a request what the server wants to have again."""

DIALECTS: Sequence[Dialect] = (
    ChatDialect("openai"),
    ChatDialect(
        "deepseek",
        address="http://api.deepseek.com",
        thoughts_in=("reasoning_content",),
        call_id="call_00_{}".format,
        reads_back=lambda message: message.get("reasoning_content"),
        expected_back="pin 4, so",
    ),
    ChatDialect(
        "ollama",
        thoughts_in=("reasoning",),
        call_id="call_x{}".format,
        has_one_index=True,
        has_pieces=False,
        reads_back=lambda message: message.get("reasoning"),
        expected_back="pin 4, so",
    ),
    ChatDialect("lm-studio", thoughts_in=("reasoning_content",), call_id="31415926{}".format),
    ChatDialect(
        "llama.cpp",
        thoughts_in=("reasoning_content",),
        call_id="x9aKq0m7Rz{}".format,
        chunk_fields={"system_fingerprint": "b1-1", "timings": {"predicted_per_second": 12.5}},
        reads_back=lambda message: message.get("reasoning_content"),
        expected_back="pin 4, so",
    ),
    ChatDialect("vllm", thoughts_in=("reasoning", "reasoning_content"), call_id="chatcmpl-tool-{}".format),
    ChatDialect(
        "openrouter",
        model_name="openai/gpt-6.1",
        address="http://openrouter.ai/api/v1",
        thoughts_in=("reasoning",),
        message_fields={"reasoning_details": _DETAILS},
        chunk_fields={"provider": "OpenAI"},
        before=b": OPENROUTER PROCESSING\n\n",
        reads_back=lambda message: [detail.get("data") for detail in message.get("reasoning_details") or ()],
        expected_back=[SIGNATURE],
    ),
    ChatDialect(
        "gemini, compatible",
        call_id="function-call-{}".format,
        has_one_index=True,
        has_pieces=False,
        call_fields={"extra_content": {"google": {"thought_signature": SIGNATURE}}},
        reads_back=lambda message: message["tool_calls"][0].get("extra_content"),
        expected_back={"google": {"thought_signature": SIGNATURE}},
    ),
    ChatDialect("arguments as an object", is_object=True),
    AnthropicDialect(),
    GoogleDialect(),
)
