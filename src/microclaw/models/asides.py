"""What people say beside what they want: politeness, reasons, hesitations, taken off a sentence. It reads no meaning.

Also here: what makes a sentence something else than an order (taken back, told, supposed) and what is never done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_DICTATED = re.compile(r"(?i)\s+(comma|full stop|question mark|exclamation mark|semicolon)(?=\s|$)")
_DICTATED_MARKS = {"comma": ",", "full stop": ".", "question mark": "?", "exclamation mark": "!", "semicolon": ";"}
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "´": "'", "`": "'"})
_LEVELS = re.compile(r"\b((?:pins?|gpios?|ios?)[ _]*#?\d{1,3}),? (?:to )?(hi|lo)(?=$|[\s.!?,])")
_AT = re.compile(r"\s*@\s*")
_CLAUSE_END = re.compile(r"(?:[,;:.!?]+|\s[-–—]+)(?:\s+|$)")
_IN_THE_DAY = re.compile(  # of a question only: an order of "this evening" is one for later
    r"^((?:so|well|and|hello|hi|hey|,| )*(?:what|whats|how|hows|tell me|show me)\b.*?)"
    r" this (?:morning|afternoon|evening|noon)(?= *(?:$|[?.!,]))"
)
_SIMILE = re.compile(r"\b((?:breath|fad|glow|swell|pulsat)[a-z]*\b[^\d]*?),? like (?:an?|the) [^,;.!?\d]*(?=$|[,;.!?])")
_NAMED_BY = re.compile(  # "the open sign on pin 18": part of a name, no order
    r"(?<=[a-z,] )(the|my|our|an?|this|that) (?:open|opening|closed|close|exit|stop|low|high|running|"
    r"working|live|hot|cold|warm|bright|dark|fast|slow|power|reading|active|wake|alert|emergency)"
    r"(?= (?!(?:on|off|at|to|in|of|up|down|and|or)\b)[a-z-]+(?: (?!(?:on|off|and|or)\b)[a-z-]+)? "
    r"(?:(?:which|that) is )?(?:on|at|to|of) (?:the )?(?:pin|gpio|io) ?#?\d)"
)
_AGAIN = (  # the other half of a rule, which goes without saying: "and off again when it drops below"
    r"(?:,|;|\.)? *(?:and|but|then)*(?: then)?(?: back)? {level}(?: again)? (?:when|once|if|as soon as|whenever) "
    r"(?:it|that|the \w+)(?: \w+){{0,2}}? ?(?:{side})(?: (?:it|that|this|again))*(?= *[.!]?$)"
)
_OFF_AGAIN = re.compile(
    _AGAIN.format(
        level="(?:(?:turn|switch) (?:it |that )?)?(?:on|off)",
        side="below|under|beneath|lower|less|above|over|higher|more|past|back|down|up|cooler|warmer|colder",
    )
)


class Asides:
    """The phrases of one language."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._hesitations = _words(data["hesitations"], r"[,.]*")
        self._harmless = _words(data["harmless"])
        self._endless = _words(data["endless"])
        self._reasons = re.compile(rf"(?:^|[\s,;])(?:{'|'.join(data['reasons'])})\b[^,;.!?]*")
        self._blocking = _words(data["blocking"])
        self._dangers = {reason: _words(phrases) for reason, phrases in data["dangers"].items()}

    def without(self, text: str) -> str:
        """The sentence in lower case without what changes nothing; its stops stay, for its clauses."""
        said = _DICTATED.sub(lambda m: _DICTATED_MARKS[m[1].lower()], text.translate(_APOSTROPHES)).lower()
        said = self._hesitations.sub(" ", said)
        said = _LEVELS.sub(lambda m: f"{m[1]} {'high' if m[2] == 'hi' else 'low'}", _AT.sub(" at ", said))
        said = _IN_THE_DAY.sub(r"\1", _SIMILE.sub(r"\1", self._harmless.sub(" ", said)))
        said = _NAMED_BY.sub(r"\1", said)
        said = _OFF_AGAIN.sub("", self._endless.sub(" forever", said))
        said = self._reasons.sub(lambda m: m[0] if re.search(r"\d", m[0]) else " ", said)
        said = re.sub(r"\s+(?=[,;.!?])", "", re.sub(r"\s+", " ", said))
        return re.sub(r"(?:[,;:]+(?=[,;:.!?]))", "", said).strip(" ,;:")

    def blocks(self, said: str) -> bool:
        """Whether something makes it more, or else, than an order."""
        return self._blocking.search(said) is not None

    def danger(self, said: str) -> str | None:
        """Why it is never done; None for all other sentences."""
        return next((reason for reason, found in self._dangers.items() if found.search(said)), None)


def without_empty_clauses(said: str, is_empty: Callable[[str, bool], bool]) -> str:
    """The clauses that say something; all of them where none does. `is_empty` gets a clause and whether it is first."""
    kept: list[str] = []
    at = 0
    for end in [*_CLAUSE_END.finditer(said), None]:
        clause = said[at : end.start() if end else len(said)].strip()
        if clause and not is_empty(clause, at == 0):
            kept.append(clause + (end[0] if end else ""))
        at = end.end() if end else len(said)
    return "".join(kept).strip() or said


def _words(phrases: Sequence[str], after: str = "") -> re.Pattern[str]:
    return re.compile(rf"(?<![\w'-])(?:{'|'.join(phrases)})(?![\w'-]){after}")
