"""The phrases of tests/vectors/phrases.txt."""

from __future__ import annotations

from pathlib import Path

PHRASES = Path(__file__).parents[2] / "vectors" / "phrases.txt"


def phrases(section: str) -> list[tuple[str, str]]:
    """Each phrase of a section, and what is made of it."""
    _, _, rest = PHRASES.read_text(encoding="utf-8").partition(f"\n[{section}]\n")
    rows = [line.rpartition(" -> ") for line in rest.partition("\n\n")[0].splitlines()]
    assert rows
    return [(said, read) for said, _, read in rows]
