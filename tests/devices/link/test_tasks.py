"""Tasks that a device asks for: each is run once and has one end, which the device gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.postgres import free_port

from microclaw.devices.link.limits import LinkLimits
from microclaw.devices.link.tasks import TaskEnd
from microclaw.errors import ToolFailed
from microclaw.events import DeviceEvent
from microclaw.host.store.link_events import MAX_OPEN
from microclaw.wire.link.messages import CancelTask, ErrorMessage, Event, RunTask, TaskStatus


class ScriptedRunner:
    """It runs each task until the test lets it end."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_cancelled = False

    async def run(
        self, device: str, text: str, tell: Callable[[str], None], waits: Callable[[str | None], None]
    ) -> TaskEnd:
        self.asked.append((device, text))
        tell("plan: look at the lamp")
        self.begun.set()
        if text == "ask":
            waits("a yes of Eva")
        if text == "ask and go on":
            waits("a yes of Eva")
            waits(None)
        if text == "fail":
            raise ToolFailed("the lamp is gone", next_step="look for it")
        if text == "break":
            raise RuntimeError("a defect")
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return TaskEnd(is_done=True, text="it is on")


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
async def plane(tmp_path: Path, start_plane: Any, runner: ScriptedRunner) -> AsyncIterator[Any]:
    async with start_plane(tmp_path, LinkLimits(), runner=runner) as running:
        yield running


async def next_end(device: Any) -> Any:
    """The next final state of any task, in its envelope."""
    while True:
        envelope = await device.next_envelope(TaskStatus)
        if envelope.body.state not in ("queued", "running"):
            return envelope


async def test_a_task_is_run_once_under_its_name_and_cancelled(plane: Any, paired: Any, runner: ScriptedRunner) -> None:
    async with paired.online():
        first = await paired.send(RunTask("t1", "agent", "switch the lamp on", 60))
        told = [await paired.next(TaskStatus) for _ in range(2)]
        assert [(one.state, one.text) for one in told] == [("queued", None), ("running", "plan: look at the lamp")]
        second = await paired.send(RunTask("t1", "agent", "switch the lamp off", 60))
        refused = await next_end(paired)
        assert (refused.re, str(refused.body.text).split(":")[0]) == (second, "task_open")
        runner.may_end.set()
        done = await next_end(paired)
        assert (done.re, done.body.state, done.body.text) == (first, "done", "it is on")
        runner.begun.clear()
        runner.may_end.clear()
        third = await paired.send(RunTask("t1", "agent", "switch the lamp off", 60))
        await runner.begun.wait()
        await paired.send(CancelTask("t1"))
        cancelled = await next_end(paired)
        assert (cancelled.re, cancelled.body.state, runner.was_cancelled) == (third, "cancelled", True)
        await paired.send(CancelTask("t1"))
        assert (await paired.next(ErrorMessage)).code == "unknown_task"
    assert runner.asked == [("lamp", "switch the lamp on"), ("lamp", "switch the lamp off")]


async def test_a_task_that_fails_says_why_and_open_ones_are_bounded(
    plane: Any, paired: Any, runner: ScriptedRunner
) -> None:
    kinds: tuple[tuple[Literal["agent", "sandbox"], str, int, str], ...] = (
        ("agent", "fail", 60, "tool_failed"),
        ("agent", "break", 60, "internal"),
        ("agent", "ask and go on", 1, "timed_out"),
        ("agent", "ask", 1, "timed_out"),
        ("sandbox", "print(1)", 60, "no_tasks"),
    )
    async with paired.online():
        for number, (kind, text, timeout_s, _) in enumerate(kinds):
            await paired.send(RunTask(f"f{number}", kind, text, timeout_s))
        ends = {(end := (await next_end(paired)).body).task: end for _ in kinds}
        for number, (_, _, _, code) in enumerate(kinds):
            assert (ends[f"f{number}"].state, str(ends[f"f{number}"].text).split(":")[0]) == ("failed", code)
        for number in range(MAX_OPEN + 1):
            await paired.send(RunTask(f"t{number}", "agent", "wait", 60))
        more = (await next_end(paired)).body
        assert (more.task, str(more.text).split(":")[0]) == (f"t{MAX_OPEN}", "too_many_tasks")
    runner.may_end.set()
    async with paired.connected():  # their ends wait for a device that went away
        assert {(await next_end(paired)).body.state for _ in range(MAX_OPEN)} == {"done"}


async def test_a_task_that_the_hosts_end_interrupts_is_told_as_failed_once(
    tmp_path: Path, start_plane: Any, scripted: Any, runner: ScriptedRunner
) -> None:
    port = free_port()
    async with start_plane(tmp_path, LinkLimits(), port, runner=runner) as first:
        device = scripted(first)
        await device.pair(lambda code: first.plane.pair(code, name="lamp"))
        async with device.online():
            await device.send(RunTask("t1", "agent", "wait", 60))
            await runner.begun.wait()
    for life in range(2):
        async with start_plane(tmp_path, LinkLimits(), port, runner=runner) as again, device.connected():
            if life == 0:
                end = (await next_end(device)).body
                assert (end.state, str(end.text).split(":")[0]) == ("failed", "interrupted")
            else:
                await device.until_ready()
                await device.send(Event("said", {}))  # whatever was to be replayed came before it
                await again.published.until(DeviceEvent)
                assert not any(isinstance(envelope.body, TaskStatus) for envelope in list(device.got._queue))
    assert runner.asked == [("lamp", "wait")]


async def test_a_removed_devices_tasks_end_with_it(plane: Any, paired: Any, runner: ScriptedRunner) -> None:
    async with paired.online():
        await paired.send(RunTask("t1", "agent", "wait", 60))
        await runner.begun.wait()
        lamp = plane.registry.get("lamp")
        await plane.registry.remove("lamp")
        await plane.plane.forget(lamp)
        assert await paired.until_closed() == 4403
    rows = await plane.database.read(lambda connection: connection.execute("SELECT * FROM link_tasks").fetchall())
    assert rows == []
    assert runner.was_cancelled
