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
from microclaw.wasm.image import Image, MemoryUse

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


async def planned(change_log: ChangeLog) -> int:
    await change_log.keep_image(IMAGE)
    return await change_log.plan("d1", "app.deploy", "deploy blink", PutApp("blink", VERSION), RemoveApp("blink"))


async def test_a_planned_change_wants_nothing_yet(change_log: ChangeLog) -> None:
    change_id = await planned(change_log)
    assert await change_log.desired() == ()
    assert [change.change_id for change in await change_log.unfinished()] == [change_id]


async def test_a_completed_deployment_is_wanted(change_log: ChangeLog) -> None:
    await change_log.complete(await planned(change_log))
    [app] = await change_log.desired("d1")
    assert (app.name, app.version) == ("blink", VERSION)
    assert await change_log.unfinished() == []
    assert await change_log.desired("d2") == ()


async def test_a_failed_change_leaves_what_was_wanted(change_log: ChangeLog) -> None:
    await change_log.complete(await planned(change_log))
    change_id = await change_log.plan("d1", "app.remove", "remove", RemoveApp("blink"), PutApp("blink", VERSION))
    await change_log.fail(change_id)
    assert [app.name for app in await change_log.desired()] == ["blink"]


async def test_a_change_that_undoes_another_marks_it_when_done_and_not_before(change_log: ChangeLog) -> None:
    first = await planned(change_log)
    await change_log.complete(first)
    second = await change_log.plan("d1", "app.remove", "remove", RemoveApp("blink"), None, undoes=first)
    assert (await change_log.change(first)).undone_by is None
    await change_log.complete(second)
    assert (await change_log.change(first)).undone_by == second


async def test_what_was_put_back_changes_nothing_that_is_wanted(change_log: ChangeLog) -> None:
    await change_log.keep_image(IMAGE)
    change_id = await change_log.plan("d1", "app.restore", "put back", PutApp("blink", VERSION), None)
    await change_log.complete(change_id)
    assert await change_log.desired() == ()


async def test_images_and_changes_survive_a_restart(tmp_path: Path) -> None:
    async with Database.open(tmp_path / "store.db") as database:
        change_log = ChangeLog(database)
        await change_log.complete(await planned(change_log))
        await change_log.plan("d1", "gpio.set", "set", SetLevel(4, 1), SetLevel(4, 0))
    async with Database.open(tmp_path / "store.db") as database:
        change_log = ChangeLog(database)
        stored = await change_log.image(IMAGE.sha256)
        assert (stored.code, stored.source) == (IMAGE.code, IMAGE.source)
        assert [change.kind for change in await change_log.changes()] == ["gpio.set", "app.deploy"]
        assert [change.kind for change in await change_log.unfinished()] == ["gpio.set"]
