"""Writes docs/reference/parts.md, and the skills' table of I2C addresses, from hardware/parts. Run: make docs"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from microclaw.hardware.parts.reader import Part, ValueRange, parts, quantities

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "parts.md"
SKILL: Final = ROOT / "src/microclaw/agent/knowledge/shipped/esp32-exploration/SKILL.md"
# The rows of parts in the skill's table are between two other rows.
_SKILL_ROWS: Final = re.compile(r"(?<=\| `i2c-scan` finds nothing \|)([^\n]*\n)(?:\| 0x[^\n]*\n)*")
_HEAD: Final = """# Parts

<!-- made from src/microclaw/hardware/parts by `make docs`: change it there -->

The parts that microclaw knows, and what they measure. The first column is the name in wirings, calls and expectations.
"""


def page() -> str:
    """Return the whole page."""
    sections = [_HEAD, _part_table(), "## Quantities\n", _quantity_table(), "## Sources\n", _source_list()]
    return "\n".join(sections)


def skill_page(text: str) -> str:
    """Return the skill's page with the I2C addresses of today's parts in its table."""
    rows = [f"| {_addresses(part)} | {part.title} |\n" for part in parts().values() if part.i2c is not None]
    return _SKILL_ROWS.sub(lambda match: match[1] + "".join(rows), text)


def _part_table() -> str:
    rows = ["| part | what it is | wired to | measures | set from outside |", "| --- | --- | --- | --- | --- |"]
    for part in parts().values():
        wires = ", ".join([*_bus(part), *(f"`{pin.role}` ({pin.use})" for pin in part.pins)])
        measured = ", ".join(_measured(name, value) for name, value in part.measures.items())
        inputs = ", ".join(_input(name, value) for name, value in part.inputs.items())
        rows.append(f"| `{part.name}` | {part.title} | {wires} | {measured} | {inputs} |")
    return "\n".join(rows) + "\n"


def _quantity_table() -> str:
    rows = ["| quantity | field of a reading | unit | possible | Home Assistant |", "| --- | --- | --- | --- | --- |"]
    for name, quantity in quantities().items():
        least, most = quantity.possible
        possible = f"{_number(least)} to {_number(most)}"
        rows.append(f"| {name} | `{quantity.reading}` | {quantity.unit} | {possible} | {quantity.home_assistant} |")
    return "\n".join(rows) + "\n"


def _source_list() -> str:
    return "".join(f"- `{part.name}`: {part.source}\n" for part in parts().values())


def _bus(part: Part) -> list[str]:
    if part.i2c is None:
        return []
    return [f"I2C at {_addresses(part)}"]


def _addresses(part: Part) -> str:
    """Return "0x76 or 0x77", or nothing for a part without I2C."""
    if part.i2c is None:
        return ""
    *first, last = [f"0x{address:02x}" for address in part.i2c.addresses]
    if not first:
        return last
    return f"{', '.join(first)} or {last}"


def _measured(name: str, value: ValueRange) -> str:
    """Return "temperature (-40 to 85 °C)"."""
    return f"{name} ({_number(value.least)} to {_number(value.most)} {quantities()[name].unit})"


def _input(name: str, value: ValueRange) -> str:
    unit = f" {value.unit}" if value.unit else ""
    return f"{name} ({_number(value.least)} to {_number(value.most)}{unit})"


def _number(value: float) -> str:
    return f"{value:.10g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SKILL.write_text(skill_page(SKILL.read_text(encoding="utf-8")), encoding="utf-8")
