"""Parts of a context cut to a budget in a written order. It knows no part's meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from microclaw.agent.compaction import CHARS_A_TOKEN


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part. Lower `rank` is cut first, down to `floor_chars`; `keep` says which end stays."""

    title: str
    text: str
    rank: int
    floor_chars: int = 0
    keep: Literal["head", "tail"] = "head"


def fit(sections: Sequence[Section], budget_tokens: int) -> str:
    """The sections in their order as one text. Over the budget the lowest rank is cut, then the next, and so on.

    What is left of a cut section says how much is missing; one that is cut to nothing goes with its title.
    """
    room = budget_tokens * CHARS_A_TOKEN
    kept = [section for section in sections if section.text.strip()]
    for rank in sorted({section.rank for section in kept}):
        for place in reversed(range(len(kept))):
            over = sum(_chars(section) for section in kept) - room
            if over <= 0:
                break
            if kept[place].rank == rank:
                kept[place] = _cut(kept[place], over)
    return "\n\n".join(_shown(section) for section in kept if section.text)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _chars(section: Section) -> int:
    return len(_shown(section)) + 2 if section.text else 0


def _shown(section: Section) -> str:
    return f"# {section.title}\n{section.text.strip()}"


def _cut(section: Section, over: int) -> Section:
    """At least `over` characters shorter where the floor allows it, cut at a line's end."""
    text = section.text.strip()
    room = max(section.floor_chars, len(text) - over - 60)  # 60: the note of what is left out
    if room >= len(text):
        return section
    if room <= 0:
        return replace(section, text="")
    if section.keep == "head":
        part = text[:room]
        part = part[: part.rfind("\n")] if "\n" in part else part
        return replace(section, text=f"{part}\n[... {len(text) - len(part)} more characters are left out]")
    part = text[-room:]
    part = part[part.find("\n") + 1 :] if "\n" in part else part
    return replace(section, text=f"[{len(text) - len(part)} characters before this are left out ...]\n{part}")
