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
_WIRING_HEAD: Final = """## Attributes and verbs

An attribute is a key of the part in a [wiring](../wiring.md), beside its pins. A verb is the first word of a line of
[expectations](expectations.md); its example shows if it needs a number or a key.
"""


def page() -> str:
    """Return the whole page."""
    sections = [_HEAD, _part_table(), _WIRING_HEAD, _attribute_table()]
    sections += ["## Quantities\n", _quantity_table(), "## Sources\n", _source_list()]
    return "\n".join(sections)


def skill_page(text: str) -> str:
    """Return the skill's page with the I2C addresses of today's parts in its table."""
    rows = ""
    for part in parts().values():
        if part.i2c is not None:
            rows += f"| {_addresses(part)} | {part.title} |\n"
    return _SKILL_ROWS.sub(lambda match: match[1] + rows, text)


def _part_table() -> str:
    rows = [
        "| part | what it is | wired to | measures | set from outside | shows | known from its pins |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for part in parts().values():
        values = (_measured_values(part), _input_values(part), _shown_values(part), ", ".join(part.known))
        columns = (f"`{part.name}`", part.title, _wires(part), *values)
        rows.append(f"| {' | '.join(columns)} |")
    return "\n".join(rows) + "\n"


def _attribute_table() -> str:
    rows = ["| part | attributes | verbs |", "| --- | --- | --- |"]
    for part in parts().values():
        if part.attributes or part.stimuli:
            rows.append(f"| `{part.name}` | {_attributes(part)} | {_verbs(part)} |")
    return "\n".join(rows) + "\n"


def _attributes(part: Part) -> str:
    """Return "`bounce_ms` (0 to 20 ms, usually 3)" for each attribute."""
    attributes = []
    for name, value in part.attributes.items():
        possible = f"{_range(value)} {value.unit}".rstrip()
        if value.choices:
            possible = ", ".join(map(_number, value.choices))
        attributes.append(f"`{name}` ({possible}; usually {_number(value.default)})")
    return ", ".join(attributes)


def _verbs(part: Part) -> str:
    examples = []
    for stimulus in part.stimuli.values():
        # A bar would end the table's cell.
        example = stimulus.example.replace("|", "\\|")
        examples.append(f"`{example}`")
    return ", ".join(examples)


def _quantity_table() -> str:
    rows = ["| quantity | field of a reading | unit | possible | Home Assistant |", "| --- | --- | --- | --- | --- |"]
    for name, quantity in quantities().items():
        least, most = quantity.possible
        possible = f"{_number(least)} to {_number(most)}"
        rows.append(f"| {name} | `{quantity.reading}` | {quantity.unit} | {possible} | {quantity.home_assistant} |")
    return "\n".join(rows) + "\n"


def _source_list() -> str:
    text = ""
    for part in parts().values():
        text += f"- `{part.name}`: {part.source}\n"
    return text


def _wires(part: Part) -> str:
    """Return "I2C at 0x76 or 0x77", and "`pin` (input, usually active low)" for each pin."""
    wires = []
    instead = []
    if part.i2c is not None:
        wires.append(f"I2C at {_addresses(part)}")
    for pin in part.pins:
        facts: list[str] = [pin.use]
        if pin.polarity:
            facts.append(f"usually active {pin.active}")
        if pin.optional:
            facts.append("optional")
        text = f"`{pin.role}` ({', '.join(facts)})"
        if pin.instead_of_i2c:
            instead.append(text)
        else:
            wires.append(text)
    if instead:
        return f"{', '.join(wires)}; or instead {', '.join(instead)}"
    return ", ".join(wires)


def _measured_values(part: Part) -> str:
    values = []
    for name, value in part.measures.items():
        values.append(f"{name} ({_range(value)} {quantities()[name].unit})")
    return ", ".join(values)


def _input_values(part: Part) -> str:
    values = []
    for name, value in part.inputs.items():
        text = f"{_range(value)} {value.unit}"
        values.append(f"{name} ({text.rstrip()})")
    return ", ".join(values)


def _shown_values(part: Part) -> str:
    values = []
    for name, value in part.shows.items():
        if value.unit:
            values.append(f"{name} ({value.unit})")
        else:
            values.append(name)
    return ", ".join(values)


def _addresses(part: Part) -> str:
    """Return "0x76 or 0x77", or nothing for a part without I2C."""
    if part.i2c is None:
        return ""
    *first, last = map("0x{:02x}".format, part.i2c.addresses)
    if not first:
        return last
    return f"{', '.join(first)} or {last}"


def _range(value: ValueRange) -> str:
    return f"{_number(value.least)} to {_number(value.most)}"


def _number(value: float) -> str:
    return f"{value:.10g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SKILL.write_text(skill_page(SKILL.read_text(encoding="utf-8")), encoding="utf-8")
