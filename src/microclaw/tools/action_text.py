"""A tool call in words, for the person who is asked whether it may be done. It shows arguments and hides none."""

from __future__ import annotations

import json
from typing import Any, Final

from microclaw.tools.tool import Parameters

MAX_ACTION_CHARS: Final = 160


def action_text(name: str, parameters: Parameters) -> str:
    """ "gpio-set pin=4 level=1": one line, long values cut; `argument_lines` has them whole."""
    words = [f"{key}={_short(value)}" for key, value in _given(parameters)]
    return " ".join((name, *words))[:MAX_ACTION_CHARS]


def argument_lines(parameters: Parameters) -> tuple[str, ...]:
    """One line an argument; a text of several lines below its name, indented."""
    lines: list[str] = []
    for key, value in _given(parameters):
        text = _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        shown = text.splitlines()
        if len(shown) <= 1:
            lines.append(f"{key}: {text}")
            continue
        lines.append(f"{key}: {len(shown)} lines")
        lines += [f"    {line}" for line in shown]
    return tuple(lines)


def _given(parameters: Parameters) -> list[tuple[str, Any]]:
    """Every argument, whether it was said or is the tool's default; those that are None mean nothing."""
    return [(key, value) for key, value in parameters.model_dump(by_alias=True).items() if value is not None]


def _short(value: Any) -> str:
    text = _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _clean(text: str) -> str:
    """Without what could draw over the question in a terminal or turn its letters around."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)
