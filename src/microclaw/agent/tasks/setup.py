"""Tasks as a part of the host: code of people, the agent and devices in the sandbox. This file starts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from microclaw.agent.tasks.device_code import DeviceCode
from microclaw.agent.tasks.operations import list_tasks
from microclaw.agent.tasks.service import PRUNE_S, TaskService
from microclaw.devices.registry.registry import Registry
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import MetricFamily, Row, label_series
from microclaw.host.egress.proxies import is_behind_proxy
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.store.tasks import TaskTable


def setup(host: HostBuilder) -> None:
    """Run code in the sandbox."""
    service = _build(host)
    host.offer(service)
    host.offer(DeviceCode(service, host.need(Registry), host.settings.tasks.from_devices))
    host.serves(list_tasks, service)
    host.enter(service.serving())
    host.task("old results of code", service.prune, every_s=PRUNE_S)
    host.left_work["code"] = service.take_up
    _show(host, service)


def _build(host: HostBuilder) -> TaskService:
    settings = host.settings
    people = host.admission.people
    proxy = None
    if not is_behind_proxy(settings.proxy):
        proxy = host.need(EgressProxy)
    service = TaskService(
        TaskTable(host.database),
        settings.tasks_folder,
        settings.tasks,
        people,
        record=host.audit.record,
        publish=host.publish,
        sandbox=settings.sandbox,
        proxy=proxy,
        fleet=host.fleet,
    )
    people.listen(service.cancel_forbidden)
    return service


def _show(host: HostBuilder, service: TaskService) -> None:
    async def rows() -> AsyncIterator[Row]:
        counts = service.counts()
        ended_count = sum(counts["endings"].values())
        if counts["running"] or counts["waiting"] or ended_count:
            text = f"{counts['running']} running, {counts['waiting']} waiting, {ended_count} ended"
            yield "code", f"{text}: microclaw task list"

    host.hooks.on_screen("plans", rows)
    host.hooks.metrics.append(lambda: task_metrics(service))


def task_metrics(service: TaskService) -> Iterator[MetricFamily]:
    """Yield the metrics of tasks."""
    counts = service.counts()
    states = {"running": counts["running"], "queued": counts["waiting"]}
    yield MetricFamily("gauge", "microclaw_code_tasks", "Code in the sandbox now", ("state",), label_series(states))
    about = "Tasks by how they ended"
    endings = label_series(counts["endings"])
    yield MetricFamily("counter", "microclaw_code_tasks_ended_total", about, ("ending",), endings)
