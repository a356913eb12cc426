"""The security log's lines of changes: each kind of a change, how it ended, and that they are bounded."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from microclaw.errors import DeviceTimeout
from microclaw.host.audit.event import BUSY, AuditEvent
from microclaw.host.store.apps import ChangeState
from microclaw.programs.changes.change_log import (
    _KINDS,
    Change,
    ChangeKind,
    ChangeOrigin,
    SetLevel,
    change_event,
    change_origin,
)


@pytest.fixture
def told(lab: Any) -> list[tuple[str, str, str | None]]:
    """The reports of the change log: kind, text and by whom."""
    lines: list[tuple[str, str, str | None]] = []

    def settled(change: Change, state: ChangeState, person: str | None) -> None:
        event = change_event(change, state, "paper", person, None)
        lines.append((event.kind.value, event.text.partition(": ")[2], event.by))

    lab.change_log.report_to(settled)
    return lines


def test_every_kind_of_change_has_a_kind_of_line() -> None:
    assert set(_KINDS) == set(get_args(ChangeKind))
    assert all(AuditEvent(kind, "").is_act for kind in _KINDS.values())


async def test_each_change_is_a_line_with_the_hash_of_what_it_touched(
    lab: Any, told: list[tuple[str, str, str | None]]
) -> None:
    with change_origin(ChangeOrigin("t", "ada")):
        await lab.deploy()
        (app,) = await lab.change_log.desired()
        await lab.act("stop")
        await lab.act("start")
        await lab.act("uninstall")
    with change_origin(ChangeOrigin("u", "owner")):
        await lab.take_back(4)
    short = app.version.sha256[:12]
    assert told[:4] == [
        ("program.installed", f"deploy blink on paper {short}", "ada"),
        ("program.stopped", f"stop blink on paper {short}", "ada"),
        ("program.started", f"start blink on paper {short}", "ada"),
        ("program.removed", "remove blink from paper", "ada"),
    ]
    kind, text, by = told[4]
    assert (kind, by) == ("change.undone", "owner")
    assert text.endswith(f"blink on paper {short}, reverts change 4")
    lab.transport.apps.clear()
    await lab.reconciler.check(lab.device_id)
    kind, _, by = told[5]
    assert (kind, by) == ("program.restored", "the host")


async def test_an_act_without_an_answer_has_a_line_too(lab: Any, told: list[tuple[str, str, str | None]]) -> None:
    lab.transport.fail["gpio.set"] = DeviceTimeout("no answer")
    with change_origin(ChangeOrigin("t", "ada")), pytest.raises(DeviceTimeout):
        await lab.set_pin(4)
    assert told == [("call.acted", "set pin 4 of paper high, and whether it was done is unknown", "ada")]


def test_a_program_that_switches_a_pin_for_hours_pushes_out_no_other_act() -> None:
    """Its kind has fewer lines: tests/host/audit/test_audit_log.py."""
    change = Change(1, 0, "d-1", "gpio.set", "", None, SetLevel(4, 1), None, "done")
    assert change_event(change, "done", "lamp", "mqtt", None).kind in BUSY
