"""Names of devices: how one must look, and which was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from microclaw.errors import ConfigError, UnknownName

_NAME = re.compile(r"[a-z0-9-]{1,32}")


def check_name(name: str) -> str:
    """The name itself; ConfigError with a usable form when it is not one."""
    if _NAME.fullmatch(name):
        return name
    usable = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:32]
    raise ConfigError(
        f"a device's name is 1 to 32 of a-z, 0-9 and '-', not {name!r}",
        next_step=f"try {usable}" if usable else "try board-1",
    )


def unknown_device(reference: str, known: Sequence[str]) -> UnknownName:
    near = difflib.get_close_matches(reference, known, n=3)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif known:
        hint = f"devices: {', '.join(sorted(known))}"
    else:
        hint = "start one: microclaw up --virtual 1, or add yours: microclaw device add NAME FACE"
    return UnknownName(f"no device named {reference!r}", next_step=hint)
