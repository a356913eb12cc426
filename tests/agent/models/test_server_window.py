"""The model and its window that a server tells, in the words of each kind of server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agent.models.model_server import server

from microclaw.agent.models.server_window import ServedModel, first_chat_model, served_model

NONE: tuple[int, Any] = (404, {})
DEEP = b"[" * 200_000
MODELS = (200, {"object": "list", "data": [{"id": "qwen3", "object": "model"}, {"id": "other", "object": "model"}]})
PROPS = (200, {"default_generation_settings": {"id": 0, "n_ctx": 4096}, "total_slots": 1})
STUDIO = (200, {"data": [{"id": "qwen3", "max_context_length": 131072, "loaded_context_length": 4096}]})
LOADED = (200, {"models": [{"name": "qwen3", "model": "qwen3", "context_length": 2048}]})
SHOWN = (200, {"parameters": "temperature 0.7\nnum_ctx    6144", "model_info": {"qwen3.context_length": 40960}})


@pytest.mark.parametrize(
    ("answers", "window"),
    [
        ([MODELS, PROPS], 4096),
        ([MODELS, NONE, STUDIO], 4096),
        ([MODELS, NONE, NONE, LOADED], 2048),
        ([MODELS, NONE, NONE, (200, {"models": []}), SHOWN], 6144),
        ([(200, DEEP)] * 5, None),
        ([(200, b"<html>"), (200, []), (200, "text"), (200, {"models": 3}), (200, {"parameters": 7})], None),
    ],
)
async def test_each_kind_of_server_tells_its_window(answers: list[Any], window: int | None) -> None:
    for name in ("qwen3", None):
        async with server(*answers, NONE) as there:
            served = await served_model(f"{there.url}/v1", name)
        is_listed = answers[0] is MODELS
        assert served == ServedModel("qwen3" if is_listed else name, window)


@pytest.mark.parametrize(
    "first",
    [
        {"id": "text-embedding-nomic-embed-text-v1.5"},
        *({"id": name} for name in ("bge-m3", "all-minilm:latest", "whisper-1", "tts-1", "dall-e-3", "jina-reranker")),
        {"id": "nomic", "type": "embeddings"},
        {"id": "e5", "type": "embedding"},
        {"id": "small", "capabilities": ["embedding"]},
        {"id": "voxtral", "capabilities": {"completion_chat": False, "audio_transcription": True}},
        {"id": 7},
        {},
    ],
)
def test_the_first_model_for_chats_is_chosen_by_what_the_server_says_and_else_by_its_name(first: Any) -> None:
    chats: list[dict[str, Any]] = [
        {"id": "qwen3-8b"},
        {"id": "sneaky-embed-chat", "type": "llm"},
        {"id": "flux-of-words", "capabilities": ["completion", "tools"]},
        {"id": "image-reader", "type": "vlm"},
        {"id": "mistral", "capabilities": {"completion_chat": True}},
        {"id": "meta/llama", "type": "chat"},
    ]
    for row in chats:
        assert first_chat_model([first, row]) == row["id"]
    assert first_chat_model([first]) is None
