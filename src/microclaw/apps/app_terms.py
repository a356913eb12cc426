"""What the store keeps of a program's version beside its bytes, as JSON: its claims, and where it came from."""

from __future__ import annotations

import json
from functools import lru_cache

from msgspec import Struct, ValidationError, convert, to_builtins

from microclaw.apps.run_times import RunTimes
from microclaw.errors import StoreError


class Claims(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a program has beside the pins it drives (apps/claims.py has the rules).

    `uses`: pins of a bus, and pins that its source names and its trial did not reach. `nodes` are buses and PWM timers
    as "i2c/0". `ended`: its trial ended. `forced`: its trial failed, and a person had it installed all the same.
    """

    reads: tuple[int, ...] = ()
    uses: tuple[int, ...] = ()
    nodes: tuple[str, ...] = ()
    ended: bool = False
    forced: bool = False


class Origin(Struct, frozen=True, forbid_unknown_fields=True):
    """The entry of a catalogue (patterns/catalog.py) that a program is, and the values that were put in.

    `catalog` is its folder as the person's command named it, or "shipped". The host believes it of who installs.
    """

    entry: str
    version: str
    catalog: str
    params: tuple[tuple[str, int | str], ...] = ()


@lru_cache(maxsize=64)
def read_claims(text: str) -> Claims:
    """The claims as the store keeps them. Raises StoreError for anything else."""
    try:
        return convert(json.loads(text), Claims)
    except (ValueError, ValidationError) as exc:
        raise _unreadable("claims", exc) from exc


def read_origin(text: str | None) -> Origin | None:
    """Where a stored app came from; None where it is of no catalogue. Raises StoreError for anything else."""
    try:
        return None if text is None else convert(json.loads(text), Origin)
    except (ValueError, ValidationError) as exc:
        raise _unreadable("origin", exc) from exc


def read_times(text: str | None) -> RunTimes | None:
    """When a stored app runs; None where it runs on. Raises StoreError for anything else."""
    try:
        return None if text is None else convert(json.loads(text), RunTimes)
    except (ValueError, ValidationError) as exc:
        raise _unreadable("times", exc) from exc


def term_text(term: Claims | Origin | RunTimes) -> str:
    """As JSON text for the store."""
    return json.dumps(to_builtins(term), separators=(",", ":"))


def _unreadable(what: str, exc: Exception) -> StoreError:
    return StoreError(
        f"the {what} of a stored app cannot be read: {exc}", next_step="restore the home directory from a backup"
    )
