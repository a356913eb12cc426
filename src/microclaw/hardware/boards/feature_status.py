"""The state of each feature on a family of boards, with its evidence: evidence/today.toml. Tries nothing itself."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Mapping, Sequence
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
"""Each state in words, the best first. For the families of real boards `works` means: seen on such a board."""
VIRTUAL: Final = "virtual"
"""The virtual board on the link."""
VIRTUAL_WASMACHINE: Final = "virtual-wasmachine"
VIRTUALS: Final = (VIRTUAL, VIRTUAL_WASMACHINE)
WASMACHINE: Final = "wasmachine"
OUR_FIRMWARE: Final = "microclaw-micropython"
"""The `firmware.name` of a `hello` from firmware/fw/greeting.py."""
VIRTUAL_FIRMWARE: Final = "microclaw-virtual"
"""The `firmware.name` of a `hello` from virtual/link/port.py."""
# The key of a feature's row for the chips that have no key of their own.
_ALL_CHIPS: Final = "chips"


class FeatureStatus(Struct, frozen=True):
    """The state of one feature on a family.

    `evidence`: files of tests, make targets, "by hand: PAGE"; the reason if nothing works. `needs`: the capability
    without which a board of the family cannot do it, or "".
    """

    feature: str
    state: State
    evidence: tuple[str, ...]
    needs: str = ""

    def on(self, capabilities: Collection[str]) -> FeatureStatus:
        """Return the state on a board of the family that has these capabilities."""
        if not self.needs or self.needs in capabilities or self.state in ("not_yet", "cannot"):
            return self
        return replace(self, state="cannot", evidence=(f"this one offers no {self.needs}",))


class Family(Struct, frozen=True):
    """Boards that have the same states. `hardware`: what was tried on real boards, a line each."""

    family_id: str
    title: str
    hardware: tuple[str, ...]
    findings: tuple[FeatureStatus, ...]


@functools.cache
def families() -> Mapping[str, Family]:
    """Return every family by its id, in the order of the table (tests/hardware/boards/test_today.py checks it)."""
    table = resources.files(__package__).joinpath("evidence", "today.toml")
    data = tomllib.loads(table.read_text(encoding="utf-8"))
    by_id = {}
    for family_id, title in data["families"].items():
        hardware = tuple(data["hardware"].get(family_id, ()))
        findings = _findings_of(family_id, data["features"])
        by_id[family_id] = Family(family_id, title, hardware, findings)
    return by_id


def family_of(board_id: str, chip: str, kinds: tuple[str, ...], link_firmware: str | None) -> Family | None:
    """Return the family that a device was tried as, or None if it is of no family.

    `link_firmware` is the firmware of its `hello` ("NAME VERSION"), "" before the first, None if it is not on the link.
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
    """Return the family's states as JSON values, for a board with these capabilities."""
    findings = []
    for finding in family.findings:
        status = finding.on(capabilities)
        row = {
            "feature": status.feature,
            "state": status.state,
            "text": STATES[status.state],
            "evidence": list(status.evidence),
        }
        findings.append(row)
    return {"family": family.title, "hardware": list(family.hardware), "findings": findings}


def _findings_of(family_id: str, rows: Sequence[Mapping[str, Any]]) -> tuple[FeatureStatus, ...]:
    """Return the family's state of each feature, from the table's rows."""
    findings = []
    for row in rows:
        state, *evidence = row.get(family_id) or row[_ALL_CHIPS]
        findings.append(FeatureStatus(row["name"], state, tuple(evidence), row.get("needs", "")))
    return tuple(findings)
