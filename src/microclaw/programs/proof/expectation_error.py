"""The error of lines of expectations, with a finding for each. It reads no line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from microclaw.errors import ConfigError, Diagnostic

EXPECTATIONS_FILE: Final = "expectations"
MAX_FINDINGS: Final = 20


class ExpectationError(ConfigError):
    """Lines of a program's expectations are wrong; `findings`, with the line of each, is never empty."""

    def __init__(self, findings: Sequence[Diagnostic]) -> None:
        first = findings[0]
        place = f"expectations, line {first.line}"
        if first.column is not None:
            place += f", column {first.column}"
        super().__init__(f"{place}: {first.message}", next_step=first.hint)
        self.findings = tuple(findings)

    @classmethod
    def at_line(cls, line: int, problem: str, next_step: str | None, column: int | None = None) -> ExpectationError:
        return cls([Diagnostic("error", problem, EXPECTATIONS_FILE, line, column, hint=next_step)])
