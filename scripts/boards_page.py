"""Writes the tables of docs/boards.md from boards/evidence/today.toml. Run: make docs"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.boards.today import STATES, VIRTUALS, Family, families

PAGE: Final = Path(__file__).parents[1] / "docs" / "boards.md"
BEGIN: Final = "<!-- made from src/microclaw/boards/evidence/today.toml by `make docs`: change it there -->\n"
END: Final = "<!-- end -->\n"


def with_tables(page: str) -> str:
    """The page with its tables made again."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{chr(10).join(table(family) for family in families().values())}\n{END}{after}"


def table(family: Family) -> str:
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
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
