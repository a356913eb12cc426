"""The window of a model that a local server tells, in the words of each kind of server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.models.model_server import server

from microclaw.models.server_window import window_of

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
            assert await window_of(f"{there.url}/v1", name) == window
