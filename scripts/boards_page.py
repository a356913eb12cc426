"""Writes the table of docs/boards.md, and docs/reference/boards.md, from boards/evidence/today.toml. Run: make docs"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from microclaw.boards.today import STATES, VIRTUALS, Family, families

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = DOCS / "boards.md"
EVIDENCE_PAGE: Final = DOCS / "reference" / "boards.md"
MADE: Final = "<!-- made from src/microclaw/boards/evidence/today.toml by `make docs`: change it there -->\n"
END: Final = "<!-- end -->\n"
_HEAD: Final = f"""# What works, and how that is known

{MADE}
By family of boards, with the evidence of each state. In one table: [boards.md](../boards.md).
"""


def with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(MADE)
    _, _, after = rest.partition(END)
    return f"{before}{MADE}\n{_states()}\n{END}{after}"


def evidence_page() -> str:
    return "\n".join([_HEAD, *map(_evidence_of, families().values())])


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
    """What is a file or a command, as code."""
    return ", ".join(
        f"`{text}`" if text.startswith(("tests/", "make ")) and "; " not in text else text for text in said
    )


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    EVIDENCE_PAGE.write_text(evidence_page(), encoding="utf-8")
