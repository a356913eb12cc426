"""What `doctor` advises about a window that the host learned: only what helps."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.cli.doctor import learned_window

LEARNED: dict[str, Any] = {
    "tokens": 4900,
    "configured_tokens": 24_000,
    "named_tokens": 6000,
    "retry_in_s": 3000.0,
    "text": "learned from the server's refusal: 4,900 tokens (the server named 6,000); configured: 24,000",
}


@pytest.mark.parametrize(
    ("server_tokens", "step"),
    [
        (0, "load the model with a larger context, or: microclaw config set agent.context_tokens 4900"),
        (6000, "load the model with a larger context, or: microclaw config set agent.context_tokens 4900"),
        (32_768, "the server takes 32,768 now: start the host again to use that at once"),
    ],
)
def test_the_advice_follows_what_the_server_takes_now(server_tokens: int, step: str) -> None:
    [finding] = learned_window(LEARNED, server_tokens)
    assert finding.next_step == step
    assert (finding.text, finding.warns) == (LEARNED["text"], True)


@pytest.mark.parametrize("context", [{}, {**LEARNED, "text": None}])
def test_without_a_learned_window_nothing_is_said(context: dict[str, Any]) -> None:
    assert list(learned_window(context, 6000)) == []
