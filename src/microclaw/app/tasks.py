"""Builds what runs code in the sandbox, and who may use it: the agent's tool, devices. It runs nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from microclaw.app.devices import Base, Devices
from microclaw.clock import now_ms
from microclaw.egress.proxy import EgressProxy
from microclaw.sandbox.run import run_sandboxed, sandbox_backend
from microclaw.store.tasks import TaskTable
from microclaw.tasks.access import may_still_run
from microclaw.tasks.device_code import DeviceCode
from microclaw.tasks.folders import TaskFolders
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import TelemetryHistory
from microclaw.tools.code import code_tool
from microclaw.tools.tool import Tool
from microclaw.tools.workspace import Workspace


def build_tasks(base: Base, proxy: EgressProxy) -> TaskService:
    """It takes tasks inside its `serving`."""
    people = base.admission.people
    service = TaskService(
        TaskTable(base.database),
        TaskFolders(base.settings.tasks_folder),
        base.settings.tasks,
        run=partial(run_sandboxed, settings=base.settings.sandbox),
        check_sandbox=partial(sandbox_backend, base.settings.sandbox),
        record=base.audit.record,
        publish=base.publish,
        now_ms=now_ms,
        proxy=proxy,
        may_run=partial(may_still_run, people),
        fleet=base.fleet,
    )
    people.listen(service.cancel_forbidden)
    return service


def code_of_devices(base: Base, devices: Devices, tasks: TaskService) -> DeviceCode:
    """Runs what devices send as `run_task` of kind `sandbox`, where a setting lets them."""
    return DeviceCode(tasks, devices.registry, base.settings.tasks.from_devices)


def task_tools(base: Base, devices: Devices, tasks: TaskService, history: TelemetryHistory) -> tuple[Tool[Any], ...]:
    return (
        code_tool(
            tasks=tasks,
            workspace=Workspace(base.settings.workspace),
            devices=devices.registry,
            history=history,
            roles=base.admission.people,
        ),
    )
