"""The shared sentences (tests/vectors/sentences.tsv): each is understood, or it is said why not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from tests.models.conftest import Ask

VECTORS = Path(__file__).parents[1] / "vectors" / "sentences.tsv"
WITHOUT_PATTERN = {"sensor_publish", "traffic_light", "rule"}  # programs that only a language model writes yet
TOOLS = {
    "gpio_write": "gpio-set",
    "gpio_toggle": "gpio-get",
    "pwm_write": "pwm-set",
    "i2c_scan": "i2c-scan",
    "sensor_read": "i2c-read",
    "adc_read": "adc-read",
    "blink": "deploy-wasm-app",
    "thermostat": "deploy-wasm-app",
    "app_status": "query-wasm-apps",
    "app_remove": "query-wasm-apps",
}


def _rows() -> list[tuple[str, str, dict[str, str]]]:
    with VECTORS.open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [
            (r["utterance"], r["category"], dict(s.split("=", 1) for s in (r["slots"] or "").split(";") if "=" in s))
            for r in rows
        ]


@pytest.mark.parametrize(("sentence", "category", "slots"), _rows())
async def test_shared_sentence_is_understood_or_refused_with_its_reason(
    ask: Ask, sentence: str, category: str, slots: dict[str, str]
) -> None:
    reply = await ask(sentence)
    tool = slots.get("tool", "")
    if category in ("ambiguous", "unsafe", "schedule", "out_of_scope") or tool in WITHOUT_PATTERN:
        expected = {"ambiguous": "ambiguous", "unsafe": "refused", "schedule": "not_possible"}
        assert not reply.calls
        assert reply.failed_code == expected.get(category, "not_understood")
        return
    if tool == "pulse":  # the board of these tests has no pin 25
        assert reply.failed_code == "ambiguous"
        return
    if tool == "system_info":
        assert reply.calls[0].name == ("device-info" if slots["field"] == "version" else "device-status")
        return
    assert reply.calls[0].name == TOOLS[tool]
    arguments = json.loads(reply.calls[0].arguments)
    if "pin" in slots and "sourceCode" in arguments:
        assert f"#define PIN {slots['pin']}\n" in arguments["sourceCode"]
    elif "pin" in slots:
        assert arguments["pin"] == int(slots["pin"])
    if "period_ms" in slots:
        assert f"#define HALF_PERIOD_MS {int(slots['period_ms']) // 2}\n" in arguments["sourceCode"]
