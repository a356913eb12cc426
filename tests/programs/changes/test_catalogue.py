from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from microclaw.devices.registry.calls import AppInstall, AppState
from microclaw.errors import DeviceUnreachable
from microclaw.host.store.crashes import CrashReport, insert_crash
from microclaw.programs.changes.deployment import source_diff


async def test_wanted_and_listed_apps_are_shown_side_by_side(lab: Any) -> None:
    await lab.deploy()
    await lab.deploy("lost", pin=4)
    del lab.transport.apps["lost"]
    lab.transport.apps["other"] = AppInstall("other", b"", heap_bytes=256)
    lab.transport.states["blink"] = AppState("blink", "running", None, 8192, 0, 0, (2,))
    found = {app.name: app for app in await lab.catalogue.list_apps()}
    assert {name: (app.condition, app.foreign) for name, app in found.items()} == {
        "blink": ("running", False),
        "lost": ("missing", False),
        "other": ("listed", True),
    }
    assert found["blink"].pins == (2,)
    assert found["other"].heap_bytes == 256


@pytest.mark.parametrize(("state", "condition"), [("loaded", "dead"), ("trapped", "trapped"), ("returned", "ended")])
async def test_a_boards_own_word_on_an_app_is_shown(lab: Any, state: str, condition: str) -> None:
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", state, "text", 8192, 0, 0, ())
    [app] = await lab.catalogue.list_apps("paper")
    assert (app.condition, app.error) == (condition, "text")


@pytest.mark.parametrize("state", ["running", "trapped"])
async def test_a_program_that_its_board_starts_again_after_crashes_shows_how_often(lab: Any, state: str) -> None:
    sha256 = (await lab.deploy()).sha256
    lab.transport.states["blink"] = AppState("blink", state, "it failed", 8192, 0, 0, ())
    report = CrashReport(lab.device_id, 1, "f", "program", "blink", sha256[:12], "t", "", "", ())
    other = replace(report, fingerprint="g", version="another")
    for crash in (report, report, other):
        await lab.change_log.database.write(partial(insert_crash, report=crash))
    [app] = await lab.catalogue.list_apps("paper")
    assert (app.condition, app.error, app.crash_count) == (state, "it failed", 2)
    assert app.remark == "crashed 2 times, last: it failed"


async def test_a_device_that_does_not_answer_shows_what_is_wanted_or_is_an_error(lab: Any) -> None:
    lab.transport.away = DeviceUnreachable("nobody there", next_step="switch it on")
    with pytest.raises(DeviceUnreachable):
        await lab.catalogue.list_apps("paper")
    assert await lab.catalogue.list_apps() == ()
    lab.transport.away = None
    await lab.deploy()
    lab.transport.away = DeviceUnreachable("nobody there", next_step="switch it on")
    [app] = await lab.catalogue.list_apps()
    assert app.condition == "unreachable"


async def test_the_version_before_is_shown_with_what_changed_since(lab: Any) -> None:
    await lab.deploy(source="a\nb\nc")
    assert (await lab.catalogue.show("paper", "blink")).before is None
    await lab.deploy(source="a\nB\nc")
    await lab.deploy(source="a\nB\nc")  # the same once more is no other version
    before = (await lab.catalogue.show("paper", "blink")).before
    assert before is not None
    assert before.change_id == 1
    assert before.diff == ["@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"]
    for change_id in (3, 2):
        await lab.take_back(change_id)
    before = (await lab.catalogue.show("paper", "blink")).before
    assert before is not None
    assert before.diff[2:4] == ["-B", "+b"], "an undo puts the former one in its place"


DIFFS: dict[tuple[str | None, str | None], tuple[str, ...]] = {
    ("a\n", "a\n"): (),
    ("a", None): (),
    ("", "a"): ("@@ -0,0 +1 @@", "+a"),
    ("a", "a\r\n"): ("@@ the lines are the same: what ends them differs @@",),
    ("# a\u2028b", "# a\nb"): ("@@ -1 +1,2 @@", "-# a\u2028b", "+# a", "+b"),
    ("a" * 64_001, "a"): ("@@ not compared: 1 line before, 1 line now @@",),
    ("a\n" * 1_001, "a"): ("@@ not compared: 1,001 lines before, 1 line now @@",),
}


async def test_a_diff_is_of_kept_sources_alone_and_bounded() -> None:
    assert {texts: await source_diff(*texts) for texts in DIFFS} == DIFFS
