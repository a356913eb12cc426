"""What a change did is said with plain verbs, and what failed is not said to be done."""

from __future__ import annotations

import pytest

from microclaw.host.store.apps import ChangeState
from microclaw.programs.changes.change_log import (
    AppVersion,
    Change,
    ChangeKind,
    DeviceAction,
    PutApp,
    RemoveApp,
    SetLevel,
    SetPwm,
    StopApp,
)
from microclaw.programs.changes.change_text import done_text, replacements

BLINK = RemoveApp("blink")
VERSION = AppVersion(sha256="", heap_bytes=0, timers=0, watchdog_ms=0, pins=())


@pytest.mark.parametrize(
    ("kind", "action", "state", "text"),
    [
        ("app.deploy", BLINK, "done", "installed blink"),
        ("app.remove", BLINK, "done", "removed blink"),
        ("app.stop", BLINK, "failed", "could not stop blink"),
        ("app.deploy", BLINK, "unknown", "began to install blink"),
        ("app.upgrade", BLINK, "planned", "began to install a new version of blink"),
        ("gpio.set", SetLevel(5, 1), "done", "set pin 5 high"),
        ("pwm.set", SetPwm(5, 51, 1000), "done", "set PWM on pin 5 to 20 % at 1,000 Hz (duty 51 of 255)"),
    ],
)
def test_a_change_in_plain_words(kind: ChangeKind, action: DeviceAction, state: ChangeState, text: str) -> None:
    assert done_text(Change(1, 0, "b1", kind, "", None, action, None, state=state)) == text


def test_both_halves_of_a_replacement_name_the_other_program() -> None:
    stop = Change(1, 0, "b1", "app.stop", "", None, StopApp("blink", VERSION), None, state="done", turn="m1")
    put = Change(2, 0, "b1", "app.deploy", "", None, PutApp("lamp", VERSION), None, state="done", turn="m1")
    apart = Change(3, 0, "b1", "app.deploy", "", None, PutApp("fan", VERSION), None, state="done", turn="m2")
    others = replacements([apart, put, stop])
    texts = [done_text(change, others.get(change.change_id)) for change in (stop, put, apart)]
    assert texts == ["stopped blink for lamp", "installed lamp in place of blink", "installed fan"]
