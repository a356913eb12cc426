from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microclaw.errors import StoreError
from microclaw.host.store.rows import stored_form
from microclaw.programs.changes.change_log import AppVersion, DeviceAction, PutApp, RemoveApp, SetLevel, SetPwm

READ, WRITE = stored_form(DeviceAction, "action")
PINS = st.integers(0, 48)
ACTIONS: st.SearchStrategy[DeviceAction] = st.one_of(
    st.builds(
        PutApp,
        st.text(min_size=1),
        st.builds(AppVersion, st.text(), st.integers(), st.integers(), st.integers(), st.lists(PINS).map(tuple)),
    ),
    st.builds(RemoveApp, st.text(min_size=1)),
    st.builds(SetLevel, PINS, st.integers(0, 1)),
    st.builds(SetPwm, PINS, st.integers(0, 255), st.integers(1, 40_000_000)),
)


@settings(max_examples=25)
@given(ACTIONS)
def test_an_action_survives_the_store(action: DeviceAction) -> None:
    assert READ(WRITE(action)) == action


def test_the_stored_form_is_stable() -> None:
    version = AppVersion("ab", 8192, 20, 180_000, (2,))
    assert WRITE(PutApp("blink", version)) == (
        '{"do": "app.put", "name": "blink", "version": '
        '{"sha256": "ab", "heap_bytes": 8192, "timers": 20, "watchdog_ms": 180000, "pins": [2]}}'
    )
    assert WRITE(SetLevel(4, 1)) == '{"do": "gpio.set", "pin": 4, "level": 1}'


@pytest.mark.parametrize(
    "text", ["", "{}", '{"do":"format"}', '{"do":"app.put","name":"x"}', '{"do":"gpio.set","pin":1,"level":1,"more":2}']
)
def test_anything_else_is_a_store_error_with_a_next_step(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        READ(text)
    assert caught.value.next_step
