"""Code that a device sends over the link: who may, what it gets back, how it ends. The real link and sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.agent.tasks.conftest import Serve
from tests.devices.link.conftest import ScriptedDevice, running_plane

from microclaw.agent.tasks.device_code import DeviceCode
from microclaw.devices.link.limits import LinkLimits
from microclaw.wire.link.messages import CancelTask, RunTask, TaskStatus


@asynccontextmanager
async def board(tmp_path: Path, serve: Serve, labels: Sequence[str] = ("all",)) -> AsyncIterator[Any]:
    devices: Any = SimpleNamespace()
    async with serve() as place, AsyncExitStack() as stack:
        code = DeviceCode(place.service, devices, labels)
        plane = await stack.enter_async_context(running_plane(tmp_path / "plane", LinkLimits(), runner=code, code=code))
        devices.get = plane.registry.get
        device = ScriptedDevice(plane.plane.address, plane.ca)
        await device.pair(lambda code: plane.plane.pair(code, name="lamp"))
        async with device.connected():
            await device.until_ready()
            yield device, place, plane.registry


async def until_end(device: Any) -> tuple[TaskStatus, list[TaskStatus]]:
    told: list[TaskStatus] = []
    while True:
        status: TaskStatus = await device.next(TaskStatus)
        if status.state not in ("queued", "running"):
            return status, told
        told.append(status)


async def test_a_device_gets_what_its_code_printed_sees_progress_and_ends_it(tmp_path: Path, serve: Serve) -> None:
    document = {"code": "print(open('a.txt').read() * 2, end='')", "files": {"a.txt": "ab"}}
    slow = "import time\nprint('progress 0.25', flush=True)\ntime.sleep(600)"
    async with board(tmp_path, serve) as (device, place, _):
        await device.send(RunTask("t1", "sandbox", "print(6 * 7)", 60))
        end, _ = await until_end(device)
        assert (end.state, end.text) == ("done", "42\n")
        await device.send(RunTask("t2", "sandbox", json.dumps(document), 60))
        end, _ = await until_end(device)
        assert (end.state, end.text) == ("done", "abab")
        (first, *_) = await place.service.table.newest(1)
        assert (first.asked_by, first.person_id.partition(":")[0]) == ("lamp", "device")
        await device.send(RunTask("t3", "sandbox", slow, 60))
        while (await device.next(TaskStatus)).progress != 0.25:
            pass
        await device.send(CancelTask("t3"))
        end, _ = await until_end(device)
        assert (end.state, (await place.service.table.newest(1))[0].state) == ("cancelled", "cancelled")


FAILING = {
    "raise SystemExit('no')": "code_failed: it ended with exit code 1; it printed: no",
    "": "task_refused: the code is empty",
    "{": "task_refused: the input is not a document of a task",
    '{"code": "1", "command": "rm"}': "task_refused: the input is not a document of a task",
    '{"code": "1", "files": {"../x": ""}}': "task_refused: '../x' is not a valid file name",
    '{"code": "1", "language": "perl"}': "task_refused: the input is not a document",
    "[" * 3000: "code_failed: ",
}


async def test_code_that_fails_has_one_end_with_words(tmp_path: Path, serve: Serve) -> None:
    async with board(tmp_path, serve) as (device, _, _):
        for number, (text, said) in enumerate(FAILING.items()):
            await device.send(RunTask(f"t{number}", "sandbox", text, 60))
            end, _ = await until_end(device)
            assert (end.task, end.state) == (f"t{number}", "failed")
            assert str(end.text).startswith(said), end.text
            assert "; next: " in str(end.text)


async def test_only_a_device_with_the_label_is_let_in(tmp_path: Path, serve: Serve) -> None:
    async with asyncio.timeout(60), board(tmp_path, serve, ["greenhouse"]) as (device, place, devices):
        await device.send(RunTask("t0", "sandbox", "print(1)", 60))
        end, _ = await until_end(device)
        assert end.state == "failed"
        assert str(end.text).startswith("task_refused: ")
        assert "tasks.from_devices" in str(end.text)
        assert (place.audit[-1].kind, place.audit[-1].by) == ("task.refused", "lamp")
        await devices.label("lamp", ["greenhouse"])
        await device.send(RunTask("t1", "sandbox", "print(1)", 60))
        assert (await until_end(device))[0].state == "done"
        assert len(await place.service.table.newest(9)) == 1
