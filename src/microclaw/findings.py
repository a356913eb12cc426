"""A finding of a check of this machine or of the host; `doctor` shows it."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True, rename={"next_step": "next"}):
    """`warns`: it works as somebody wanted it, and is worth a second thought."""

    part: str
    ok: bool
    text: str
    next_step: str | None = None
    warns: bool = False

    @property
    def verdict(self) -> str:
        if not self.ok:
            return "problem"
        if self.warns:
            return "warning"
        return "ok"


def problem(part: str, text: str, next_step: str | None) -> Finding:
    return Finding(part, False, text, next_step)


def warning(part: str, text: str, next_step: str | None) -> Finding:
    return Finding(part, True, text, next_step, warns=True)
