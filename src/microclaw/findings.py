"""A finding of a check of this machine or of the host; `doctor` shows it."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True, rename={"next_step": "next"}):
    """A finding about one part. `warns`: the part works as configured, but deserves a second thought."""

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
    return Finding(part, ok=False, text=text, next_step=next_step)


def warning(part: str, text: str, next_step: str | None) -> Finding:
    return Finding(part, ok=True, text=text, next_step=next_step, warns=True)
