"""A sentence, a language model over HTTP, the real compiler, a real virtual board: the model writes and mends the C."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.agent.real_host import real_host
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import server

from microclaw.events import Answer, Delta, Step

BROKEN = """#include "microclaw.h"
static int led;
static void toggle(void) { gpio_togle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, toggle); }
"""
MENDED = BROKEN.replace("gpio_togle", "gpio_toggle")


def deploy(source: str) -> Events:
    arguments = json.dumps({"sourceCode": source, "appName": "quick"})
    call: dict[str, Any] = {"index": 0, "id": "call-1", "type": "function"}
    return Events(openai_stream(calls=[{**call, "function": {"name": "deploy-wasm-app", "arguments": arguments}}]))


async def test_a_model_sees_the_diagnostics_mends_its_program_and_the_board_counts_edges(tmp_path: Path) -> None:
    said = Events(openai_stream("It blinks, ", "counted on the board."))
    replies = ((200, deploy(BROKEN)), (200, deploy(MENDED)), (200, said))
    async with server(*replies) as provider:
        environ = {"OPENAI_BASE_URL": f"{provider.url}/v1", "MICROCLAW_MODEL": "test-model"}
        async with real_host(tmp_path / "home", environ=environ) as home:
            events = await home.events("write a program that blinks the led fast")
            tries = (await home.get("/v1/tries"))["tries"]
    assert [e.text for e in events if isinstance(e, Delta)] == ["It blinks, ", "counted on the board."]
    steps = [e for e in events if isinstance(e, Step)]
    failed = [s for s in steps if s.state == "failed"]
    assert [s.stage for s in failed] == ["compile"]
    assert sum(s.stage == "code" for s in steps) == 2
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert answer.text.startswith("It blinks, counted on the board.\n\nWhat the host did:\n- done: deploy-wasm-app ")
    assert answer.error_code is None
    assert [e.kind for e in answer.evidence] == ["counted"]
    assert [(t["app"], t["number"], t["state"], t["error"]) for t in tries] == [
        ("quick", 2, "done", None),
        ("quick", 1, "failed", "build_error"),
    ]
    assert tries[1]["source_sha256"] == sha256(BROKEN.encode()).hexdigest()
    assert "gpio_toggle" in tries[1]["diagnostics"][0]
    diagnostics = provider.bodies[1]["messages"][-1]["content"]
    assert "quick.c:3" in diagnostics or "main.c:3" in diagnostics
    assert "gpio_toggle" in diagnostics, "the diagnostic names the nearest known function"
