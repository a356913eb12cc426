"""Which kind of sentence was said, and its values: hassil templates over normalized quantities. Acts on nothing."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from microclaw.models.quantities import normalize_quantities

if TYPE_CHECKING:
    from hassil import Intents

MAX_SENTENCE_CHARS = 300
READINGS_KEPT = 64

_FILES = ("words", "programs", "now", "manage", "refused")  # help lists the kinds in this order
_NEGATIONS = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|avoid|refrain|except|unless|instead|cannot|"
    r"(?:do|does|did|is|are|was|were|ca|wo|would|could|should|must|need|have|has|had|ai|sha|might)n'?t|cant|wont|dont)\b"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A sentence understood: its kind and its values (whole numbers, words)."""

    kind: str
    values: Mapping[str, int | str | bool]

    def number(self, name: str) -> int | None:
        value = self.values.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def word(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


class Sentences:
    """The sentences of one language that work without a model."""

    def __init__(self, intents: Intents, examples: Mapping[str, str]) -> None:
        self._intents = intents
        self.examples = examples
        self.read = lru_cache(READINGS_KEPT)(self._read)  # a turn asks again after each tool

    def _read(self, text: str) -> Reading | None:
        """The reading of the whole sentence, or None when no template matches all of it."""
        from hassil import recognize_best

        said = normalize_quantities(text[: MAX_SENTENCE_CHARS + 1])
        if not said or len(said) > MAX_SENTENCE_CHARS:
            return None
        found = recognize_best(said, self._intents)
        if found is None:
            return None
        values = {e.name: _plain(e.value) for e in found.entities_list if not e.name.startswith("_")}
        return Reading(found.intent.name, values)

    def nearest(self, text: str, count: int = 2) -> tuple[str, ...]:
        """The examples of the kinds of sentence that look most like this text."""
        said = set(_stems(text))
        ranked = sorted(
            self.examples.values(),
            key=lambda example: (
                -len(said & set(_stems(example))),
                -difflib.SequenceMatcher(None, text.lower()[:MAX_SENTENCE_CHARS], example).ratio(),
            ),
        )
        return tuple(ranked[:count])


def is_negated(text: str) -> bool:
    """Whether the sentence says not to do something; such a sentence never acts."""
    return (
        _NEGATIONS.search(text.lower().replace("’", "'").replace("‘", "'").replace("´", "'").replace("`", "'"))
        is not None
    )


@cache
def english() -> Sentences:
    """The English sentences, read once from the package's data (hassil is imported here, at first use)."""
    from hassil import Intents, merge_dict

    merged: dict[str, Any] = {}
    folder = resources.files(__package__) / "intents" / "en"
    for name in _FILES:
        merge_dict(merged, tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")))
    examples = {name: kind["example"] for name, kind in merged["intents"].items() if "example" in kind}
    return Sentences(Intents.from_dict(merged), examples)


def _plain(value: object) -> int | str | bool:
    """hassil gives every number as a float."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return int(value)
    return str(value).strip()


def _stems(text: str) -> list[str]:
    words = re.findall(r"[a-z]{3,}", normalize_quantities(text[:MAX_SENTENCE_CHARS]))
    return [word.removesuffix("ing").removesuffix("s") for word in words if word not in {"the", "and", "what"}]
