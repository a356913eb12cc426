"""The plan's states: what is said is in flash before, and no move leaves the table."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.firmware.conftest import ROOT

from microclaw.firmware_modules import ota_plan

PAGE = (ROOT / "docs/protocols/ota.md").read_text()


def walk(seed: int) -> list[list[Any]]:
    """Some way through the plan, also by calls that have no place in it."""
    chosen = random.Random(seed)
    digest = "d" * 64

    def values(version: str) -> dict[str, Any]:
        names = {"kind": "image", "sha256": "9f" * 32, "size": 100, "security_version": 3, "key_id": "k"}
        return {"version": version, **names}

    straight: list[list[Any]] = [
        ["known", [digest]],
        ["offered", [digest, values("1.2.0")]],
        ["downloading", ["ota_1"]],
        ["wrote", [30]],
        ["wrote", [80]],
        ["downloaded", []],
        ["staged", []],
        ["rebooting", []],
        ["booted", ["ota_1", False, False, "unhealthy: x"]],
        ["healthy", [3]],
    ]
    others: list[list[Any]] = [
        ["cut", []],
        ["known", [digest]],
        ["refused", ["1.3.0", "expired"]],
        ["refused", ["keys-2", "old_serial"]],
        ["offered", ["e" * 64, values("1.4.0")]],
        ["cancelled", ["1.2.0"]],
        ["failed", ["wrong_hash"]],
        ["rebooting", []],
        ["booted", ["ota_0", True, True, "unhealthy: x"]],
        ["booted", ["ota_0", False, True, "unhealthy: x"]],
        ["booted", ["ota_1", False, True, ""]],
    ]
    steps = straight[: chosen.randint(1, len(straight))]
    for _ in range(chosen.randint(0, 6)):
        steps.insert(chosen.randint(2, len(steps) + 1), chosen.choice(others))
    return steps


def run(steps: list[list[Any]]) -> list[Any]:
    rows: list[Any] = []
    kept: dict[str, Any] = {}

    def save(record: dict[str, Any]) -> None:
        before = kept.get("state", "idle")
        kept.clear()
        kept.update(json.loads(json.dumps(record)))
        after = kept["state"]
        through = [state for state in ota_plan.TABLE[before] if after in ota_plan.TABLE[state]]
        assert before == after or after in ota_plan.TABLE[before] or (after == "refused" and through), (before, after)

    def say(version: str, state: str, progress: float, error: str | None) -> None:
        other = kept.get("state") in ota_plan.BUSY + ota_plan.GIVEN_UP or version == "keys-2"
        refused_beside = state == "refused" and other
        assert refused_beside or state == kept.get("state", "idle")  # in flash before it is said
        rows.append([version, state, progress, error])

    plan = ota_plan.Plan({}, save, say)
    for name, values in steps:
        if name == "cut":
            plan = ota_plan.Plan(kept, save, say)
            continue
        try:
            getattr(plan, name)(*values)
        except ValueError:
            rows.append("refused " + name)
    return rows


def test_the_table_is_that_of_the_page() -> None:
    rows = PAGE.split("| state | next |\n| --- | --- |\n")[1].split("\n\n")[0].splitlines()
    found: dict[str, set[str]] = {}
    for row in rows:
        first, after = row.split("|")[1:3]
        names = set(after.replace("(after a power cut: at the offset that is in flash)", "").split("`")[1::2])
        for state in first.split("`")[1::2]:
            found[state] = names - {state}
    assert {state: set(after) for state, after in ota_plan.TABLE.items()} == found


def test_every_way_keeps_to_the_table_and_says_what_is_in_flash() -> None:
    ways = [run(walk(seed)) for seed in range(500)]
    assert {row[1] for rows in ways for row in rows if isinstance(row, list)} == set(ota_plan.TABLE)


def test_a_slot_that_never_comes_up_is_chosen_three_times() -> None:
    plan = ota_plan.Plan(
        {"state": "staged", "slot": "ota_1", "version": "1.2.0", "size": 9}, lambda _: None, lambda *_: 0
    )
    for _ in range(3):
        assert plan.todo == "switch"
        plan.rebooting()
        plan.booted("ota_0", False, True, "unhealthy: power_on")
    assert plan.state == "rolled_back"
