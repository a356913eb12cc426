"""The prompt before a model's first word stays small: read off the wire of a running host, as in `bench prompt`."""

from __future__ import annotations

from bench.prompt import estimated_tokens, measure, parts_of


def test_an_ordinary_device_turn_begins_within_3000_tokens_and_a_dozen_tools() -> None:
    metrics = measure()
    assert [(m.name, m.value) for m in metrics if not m.ok] == []
    assert [m.goal for m in metrics[:2]] == [3000, 3000]


def test_every_part_of_a_request_is_counted() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "who\n# Devices\none\n# Now\nMonday"},
            {"role": "user", "content": "hi"},
        ],
        "tools": [{"function": {"name": "undo", "description": "Undo."}}],
    }
    assert list(parts_of(body)) == ["role and rules", "Devices", "Now", "message 1, user", "tool undo"]
    assert all(parts_of(body).values())


def test_an_estimate_counts_words_numbers_and_signs() -> None:
    assert estimated_tokens("blink pin 12") == 4
    assert estimated_tokens("gpio_open(4, GPIO_OUT);") >= 9
    assert estimated_tokens("") == 0
