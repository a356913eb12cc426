"""The plan: its table is that of the page. Its ways on a board, with power cuts: test_update_cuts.py."""

from __future__ import annotations

from tests.firmware.conftest import ROOT

from microclaw.firmware_modules import ota_plan

PAGE = (ROOT / "docs/protocols/ota.md").read_text()


def test_the_table_is_that_of_the_page() -> None:
    rows = PAGE.split("| state | next |\n| --- | --- |\n")[1].split("\n\n")[0].splitlines()
    found: dict[str, set[str]] = {}
    for row in rows:
        first, after = row.split("|")[1:3]
        names = set(after.replace("(after a power cut: at the offset that is in flash)", "").split("`")[1::2])
        for state in first.split("`")[1::2]:
            found[state] = names - {state}
    assert {state: set(after) for state, after in ota_plan.TABLE.items()} == found


def test_a_slot_that_never_comes_up_is_chosen_three_times() -> None:
    plan = ota_plan.Plan(
        {"state": "staged", "slot": "ota_1", "version": "1.2.0", "size": 9}, lambda _: None, lambda *_: 0
    )
    for _ in range(3):
        assert plan.todo == "switch"
        plan.rebooting()
        plan.booted("ota_0", False, True, "unhealthy: power_on")
    assert plan.state == "rolled_back"
