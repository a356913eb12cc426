"""A process that ends at any change of the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest


class PowerCut(BaseException):
    """The process ends here."""


def cut_at(call: int, patch: pytest.MonkeyPatch) -> None:
    """Let the call-th change of a file (opened, synced, renamed, removed) not be done, nor anything after it."""
    calls = count()

    def do(real: Callable[..., Any], *words: Any, **named: Any) -> Any:
        if next(calls) >= call:
            raise PowerCut
        return real(*words, **named)

    for name in ("open", "fsync"):
        patch.setattr(os, name, partial(do, getattr(os, name)))
    for name in ("mkdir", "rename", "replace", "unlink", "chmod"):
        real = getattr(Path, name)
        patch.setattr(Path, name, lambda *words, real=real, **named: do(real, *words, **named))
