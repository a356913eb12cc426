"""What a check found of each rule, as text and JSON. Tries nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from microclaw.link_check.rules import BY_ID
from microclaw.text import clean_text

Verdict: TypeAlias = Literal["kept", "broken", "not tried"]
MAX_DETAIL_CHARS: Final = 400


class RuleBroken(Exception):
    """The other end did what a rule forbids, or not what it asks for: what was sent, and what came."""

    def __init__(self, sent: str, came: str) -> None:
        super().__init__(f"sent {sent}; came {came}")
        self.sent = sent
        self.came = came


class RuleNotTried(Exception):
    """A rule cannot be tried here; the text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict. `sent` and `came` are of a broken one, `why` of one that was not tried."""

    rule_id: str
    verdict: Verdict
    sent: str | None = None
    came: str | None = None
    why: str | None = None

    def to_json(self) -> dict[str, str | None]:
        return {
            "rule": self.rule_id,
            "verdict": self.verdict,
            "text": BY_ID[self.rule_id].text,
            "sent": self.sent,
            "came": self.came,
            "why": self.why,
        }


def broken(rule_id: str, exc: RuleBroken) -> Finding:
    """What the other end said is cut and made one line: it may be anything."""
    return Finding(rule_id, "broken", sent=_shown(exc.sent), came=_shown(exc.came))


def count(findings: list[Finding], verdict: Verdict) -> int:
    return sum(finding.verdict == verdict for finding in findings)


def _shown(text: str) -> str:
    return clean_text(text, one_line=True, limit=MAX_DETAIL_CHARS)
