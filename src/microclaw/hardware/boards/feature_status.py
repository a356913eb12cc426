"""The state of each feature on a family of boards, with its evidence: evidence/today.toml. It tries nothing itself."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Mapping
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

State: TypeAlias = Literal["works", "emulator", "unix_port", "double", "not_yet", "cannot"]

STATES: Final[Mapping[State, str]] = {
    "works": "works",
    "emulator": "works on an emulator",
    "unix_port": "tried on the unix port only",
    "double": "tried against a double only",
    "not_yet": "not yet",
    "cannot": "this board cannot",
}
"""Each state in words, from the best to none. Of boards that one can hold `works` means: seen on such a board."""
VIRTUAL: Final = "virtual"  # over the link
VIRTUAL_WASMACHINE: Final = "virtual-wasmachine"
VIRTUALS: Final = (VIRTUAL, VIRTUAL_WASMACHINE)
WASMACHINE: Final = "wasmachine"
OUR_FIRMWARE: Final = "microclaw-micropython"  # hello.firmware.name of firmware/fw/greeting.py
VIRTUAL_FIRMWARE: Final = "microclaw-virtual"  # of virtual/link/port.py
_ALL_CHIPS: Final = "chips"  # in the table: the chips that are not named themselves


class FeatureStatus(Struct, frozen=True):
    """`evidence`: files of tests, make targets, "by hand: PAGE"; or why, where nothing works.

    `needs`: the capability without which a board of the family cannot do it, "" for none.
    """

    feature: str
    state: State
    evidence: tuple[str, ...]
    needs: str = ""

    def on(self, capabilities: Collection[str]) -> FeatureStatus:
        """As it is on a board of the family that has these capabilities."""
        if not self.needs or self.needs in capabilities or self.state in ("not_yet", "cannot"):
            return self
        return replace(self, state="cannot", evidence=(f"this one offers no {self.needs}",))


class Family(Struct, frozen=True):
    """`hardware`: what was tried on real boards, a line each; empty is nothing."""

    family_id: str
    title: str
    hardware: tuple[str, ...]
    findings: tuple[FeatureStatus, ...]


@functools.cache
def families() -> Mapping[str, Family]:
    """Every family by its id, in the order of the table; tests/hardware/boards/test_today.py checks the table."""
    data = tomllib.loads(resources.files(__package__).joinpath("evidence", "today.toml").read_text(encoding="utf-8"))
    return {
        family_id: Family(
            family_id,
            title,
            tuple(data["hardware"].get(family_id, ())),
            tuple(
                FeatureStatus(row["name"], state, tuple(evidence), row.get("needs", ""))
                for row in data["features"]
                for state, *evidence in [row.get(family_id) or row[_ALL_CHIPS]]
            ),
        )
        for family_id, title in data["families"].items()
    }


def family_of(board_id: str, chip: str, kinds: tuple[str, ...], link_firmware: str | None) -> Family | None:
    """The family that a device was tried as; None: of no family.

    `link_firmware` is what its `hello` said ("NAME VERSION"), "" before the first, None for a device not on the link.
    """
    if link_firmware is not None:
        name = link_firmware.rpartition(" ")[0]
        if name == OUR_FIRMWARE:
            return families().get(chip.lower())
        if name == VIRTUAL_FIRMWARE:
            return families()[VIRTUAL]
        return None
    if board_id == VIRTUAL:
        return families()[VIRTUAL_WASMACHINE]
    if "wasm" in kinds:
        return families()[WASMACHINE]
    return None


def today_object(family: Family, capabilities: Collection[str]) -> dict[str, Any]:
    """As JSON values, for a board with these capabilities."""
    findings = [
        {"feature": f.feature, "state": f.state, "text": STATES[f.state], "evidence": list(f.evidence)}
        for f in (finding.on(capabilities) for finding in family.findings)
    ]
    return {"family": family.title, "hardware": list(family.hardware), "findings": findings}
