"""Writes docs/reference/arduino-core.md from the list of the ESP32 core's names. Run: make docs"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from microclaw.programs.wasm.core_names import CoreGroup, core_groups
from microclaw.programs.wasm.refusals import refusal_of

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "arduino-core.md"
_HEAD: Final = """# Arduino: the names of the ESP32's core

<!-- made from src/microclaw/programs/wasm/core_names.toml and refusals.toml by `make docs`: change it there -->

Every public name of Espressif's Arduino core for the ESP32 (2.0 to 3.3), and if a sketch for ESP-WASMachine has it.
A sketch that uses another one is refused with the reason that is given here. Names of pins (`A0`, `SDA`, `LED_BUILTIN`)
are the board's ([boards.md](boards.md)); libraries of parts are in [parts.md](parts.md). What works in another way than
on a board without our firmware is in [program-api.md](program-api.md#arduino-sketches).
"""


def page() -> str:
    """Return the whole page."""
    sections = [_HEAD]
    for group in core_groups():
        sections.append(_section(group))
    return "\n".join(sections)


def _section(group: CoreGroup) -> str:
    parts = [f"## {group.title}\n"]
    if group.done:
        parts.append(f"{_listed(group.done)}\n")
    for reason_id, names in group.refused.items():
        refusal = refusal_of(reason_id)
        parts.append(f"Not here: {_listed(names)}.\n\n- Why: {refusal.explanation}.\n- Instead: {refusal.hint}.\n")
    return "\n".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
