from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.apps.change_log import (
    AppVersion,
    ChangeLog,
    DeviceAction,
    PutApp,
    RemoveApp,
    SetLevel,
    SetPwm,
)
from microclaw.errors import StoreError
from microclaw.store.database import Database
from microclaw.store.rows import stored_form
from microclaw.wasm.wasm_image import Image, MemoryUse

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
    "text",
    ["", "{}", '{"do":"format"}', '{"do":"app.put","name":"x"}', '{"do":"gpio.set","pin":1,"level":1,"more":2}'],
)
def test_anything_else_is_a_store_error_with_a_next_step(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        READ(text)
    assert caught.value.next_step


IMAGE = Image(
    name="blink",
    wasm=b"\0asm\1\0\0\0",
    sha256="93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476",
    imports=(),
    exports=(),
    memory=MemoryUse(0, 0, 0),
    pins=(2,),
    compiler="paper",
    cached=False,
    compile_ms=0,
    source="void on_init(void) {}",
)
VERSION = AppVersion(IMAGE.sha256, 8192, 20, 180_000, (2,))


async def test_images_and_changes_survive_a_restart(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "store.db") as database:
        change_log = ChangeLog(database)
        await change_log.keep_image(IMAGE)
        put = await change_log.plan("d1", "app.deploy", "deploy", PutApp("blink", VERSION), RemoveApp("blink"))
        await change_log.complete(put)
        await change_log.plan("d1", "gpio.set", "set", SetLevel(4, 1), SetLevel(4, 0))
    async with Database.open(tmp_path / "store.db") as database:
        change_log = ChangeLog(database)
        stored = await change_log.image(IMAGE.sha256)
        assert (stored.code, stored.source) == (IMAGE.code, IMAGE.source)
        assert [change.kind for change in await change_log.changes()] == ["gpio.set", "app.deploy"]
        assert [change.kind for change in await change_log.unfinished()] == ["gpio.set"]
        [app] = await change_log.desired("d1")
        assert (app.name, app.version) == ("blink", VERSION)
        assert await change_log.desired("d2") == ()
