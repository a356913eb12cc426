"""Writes docs/reference/boards.md from hardware/boards/evidence/today.toml. Run: make docs"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.hardware.boards.feature_status import STATES, VIRTUALS, Family, families

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "boards.md"
_HEAD: Final = """# What works, and how that is known

<!-- made from src/microclaw/hardware/boards/evidence/today.toml by `make docs`: change it there -->

What the states mean: [boards.md](../boards.md). Below the table, the evidence by family of boards.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, _states(), *map(_evidence_of, families().values())])


def _states() -> str:
    """A row a feature, a column a family."""
    columns = list(families().values())
    head = [family.title.removesuffix(", our MicroPython files") for family in columns]
    rows = [f"| what | {' | '.join(head)} |", f"| --- |{' --- |' * len(columns)}"]
    rows += [
        f"| {row[0].feature} | {' | '.join(one.state.replace('_', ' ') for one in row)} |"
        for row in zip(*(family.findings for family in columns), strict=True)
    ]
    return "\n".join(rows) + "\n"


def _evidence_of(family: Family) -> str:
    rows = [f"## {family.title[:1].upper()}{family.title[1:]}", ""]
    if family.family_id not in VIRTUALS:
        rows += [f"On hardware: {'; '.join(family.hardware) or 'nothing yet'}.", ""]
    rows += ["| what | state | evidence |", "| --- | --- | --- |"]
    rows += [f"| {f.feature} | {STATES[f.state]} | {_evidence(f.evidence)} |" for f in family.findings]
    return "\n".join(rows) + "\n"


def _evidence(said: tuple[str, ...]) -> str:
    """A file or a command, as code."""
    return ", ".join(
        f"`{text}`" if text.startswith(("tests/", "make ")) and "; " not in text else text for text in said
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
