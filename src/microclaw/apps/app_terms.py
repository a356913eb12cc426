"""The JSON in the store: of a program's version its claims, and where it came from. Knows no rows."""

from __future__ import annotations

from msgspec import Struct


class Claims(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The claims of a program beside the pins it drives (apps/claims.py has the rules).

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
