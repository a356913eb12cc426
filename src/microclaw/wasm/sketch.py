"""Tells an Arduino sketch, which has setup and loop in place of main; Arduino.h then has a main that calls them."""

from __future__ import annotations

from microclaw.wasm.source_text import SourceText


def sketch_defines(text: SourceText) -> tuple[str, ...]:
    """MICROCLAW_SKETCH for a program that defines setup and loop and nothing that starts it."""
    parts = all(text.find_definition(name) for name in ("setup", "loop"))
    entry = any(text.find_definition(name) for name in ("main", "on_init"))
    return ("MICROCLAW_SKETCH",) if parts and not entry else ()
