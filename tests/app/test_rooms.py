"""A host without one of its rooms: it works, and shows nothing of that room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import pytest
from click.testing import CliRunner
from msgspec import Struct

from microclaw.app import running_host
from microclaw.app.rooms import ROOMS
from microclaw.clock import now_ms
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.telemetry.operations import show as show_telemetry
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.config.load import load_settings
from microclaw.host.operations.client import AsyncClient
from microclaw.host.operations.operation import Operation, load
from microclaw.host.operations.operation_modules import MODULES, ROOM_OF
from microclaw.interfaces.api.custom_routes import load_by_hand
from microclaw.interfaces.cli.main import COMMANDS, LazyGroup
from microclaw.supervision import SupervisedTasks


class Shown(Struct, frozen=True):
    """What a room shows: rows and fields of the status, and the beginnings of its metrics."""

    rows: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    metrics: tuple[str, ...] = ()


SHOWN: Final = {
    "telemetry": Shown(metrics=("microclaw_device_telemetry",)),
    "tasks": Shown(metrics=("microclaw_code_tasks",)),
    "ota": Shown(),
    "schedules": Shown(),
    "channels": Shown(rows=frozenset({"telegram", "gateway"}), fields=frozenset({"gateway_open"})),
    "voice": Shown(fields=frozenset({"xiaozhi", "wyoming"})),
    "mqtt": Shown(fields=frozenset({"mqtt"})),
}


class Answers(Struct, frozen=True):
    """What a host with these rooms answers."""

    status: dict[str, Any]
    metrics: str
    document: dict[str, Any]
    statuses: dict[str, int]
    start: dict[str, object]


async def ask(socket: Path, method: str, path: str) -> tuple[int, str]:
    """Return the status and the body of a request on the control socket, of which only the beginning is awaited."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    writer.write(head.encode())
    answer = (await reader.read()).decode(errors="replace")
    writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


def acts_of(room: str) -> list[Operation[..., Any, Any]]:
    """Return the acts with a route that the room serves."""
    return [act for act in (*load(), *load_by_hand()) if ROOM_OF.get(act.noun) == room and act.http]


async def answers_of(home: Path, rooms: Collection[str], room: str) -> Answers:
    settings = load_settings({}, home=home, http_port=None)
    async with asyncio.timeout(240), running_host(settings, virtual_boards=1, rooms=tuple(rooms)) as host:
        client = AsyncClient(settings.control_socket)
        assert (await client.get("/healthz"))["failing"] == []
        assert (await client.get("/v1/devices/virtual-1"))["name"] == "virtual-1"
        _, metrics = await ask(settings.control_socket, "GET", "/metrics")
        _, document = await ask(settings.control_socket, "GET", "/api/openapi.json")
        statuses = {}
        for act in acts_of(room):
            path = act.path.replace(":path}", "}")
            statuses[act.name], _ = await ask(settings.control_socket, act.method, path.format_map(Filled()))
        return Answers(
            status=await client.get("/v1/status"),
            metrics=metrics,
            document=json.loads(document),
            statuses=statuses,
            start=host.hooks.read_start_facts(),
        )


class Filled(dict[str, str]):
    """A value for every parameter of a path."""

    def __missing__(self, name: str) -> str:
        return "1"


def help_of(rooms: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the commands of `microclaw --help` with those below each, on a command line with these rooms."""
    app = LazyGroup(name="microclaw")
    app.leave_out_others(rooms)
    text = CliRunner().invoke(app, ["--help"]).output
    commands: dict[str, frozenset[str]] = {}
    for name in COMMANDS:
        if f"\n  {name} " not in text:
            continue
        with click.Context(app) as ctx:
            _, command, _ = app.resolve_command(ctx, [name])
        commands[name] = frozenset(getattr(command, "commands", ()))
    return commands


@pytest.mark.parametrize("room", SHOWN)
async def test_a_host_without_a_room_works_and_shows_nothing_of_it(tmp_path: Path, room: str) -> None:
    answers = await answers_of(tmp_path, [name for name in ROOMS if name != room], room)
    shown = SHOWN[room]
    assert not answers.status.keys() & shown.fields
    assert not {row["about"] for row in answers.status["screen"]} & shown.rows
    assert not [name for name in shown.metrics if name in answers.metrics]
    assert set(answers.statuses.values()) <= {404}
    documented = {route["operationId"] for path in answers.document["paths"].values() for route in path.values()}
    assert not documented & {act.name for act in acts_of(room)}
    properties = answers.document["components"]["schemas"]["HostStatus"]["properties"]
    assert not properties.keys() & shown.fields


async def test_a_host_with_all_rooms_shows_each_of_them(tmp_path: Path) -> None:
    answers = await answers_of(tmp_path, ROOMS, "tasks")
    assert 404 not in {answers.statuses["task.list"], answers.statuses["task.run"]}
    rows = {row["about"] for row in answers.status["screen"]}
    properties = answers.document["components"]["schemas"]["HostStatus"]["properties"]
    for shown in SHOWN.values():
        assert shown.fields <= answers.status.keys()
        assert shown.fields <= properties.keys()
        assert shown.rows <= rows
        assert all(name in answers.metrics for name in shown.metrics)
    assert answers.start.keys() == {"gateway", "gateway_open", "gateway_token", "xiaozhi", "wyoming"}


@pytest.mark.parametrize(
    ("room", "command", "below"),
    [
        ("telemetry", "device", "telemetry"),
        ("tasks", "task", ""),
        ("ota", "firmware", ""),
        ("schedules", "schedule", ""),
        ("voice", "voice", ""),
    ],
)
def test_help_names_no_command_of_a_room_that_is_left_out(room: str, command: str, below: str) -> None:
    everything = help_of(ROOMS)
    without = help_of([name for name in ROOMS if name != room])
    if below:
        assert everything[command] - without[command] == {below}
    else:
        assert everything.keys() - without.keys() == {command}


def test_each_room_that_serves_a_noun_is_in_the_list() -> None:
    assert set(ROOM_OF.values()) <= ROOMS.keys()
    assert ROOM_OF.keys() <= MODULES.keys()
    assert SHOWN.keys() == ROOMS.keys() - {"agent"}


def _refused_by_mypy(host: HostBuilder, links: LinkRegistry) -> None:
    """The type check of this line is the test: an act is served only by a service of its own kind."""
    host.serves(show_telemetry, links)  # type: ignore[misc]


async def test_turns_end_first_then_all_tasks_then_ends_then_contexts(tmp_path: Path) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def noted(name: str) -> AsyncIterator[None]:
        order.append(f"enter {name}")
        yield
        order.append(f"leave {name}")

    async def work(name: str, begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            order.append(f"stop {name}")

    async def end() -> None:
        order.append("end")

    host = builder_of(tmp_path)
    turns_begun = asyncio.Event()
    work_begun = asyncio.Event()
    host.enter(noted("first"))
    host.task("work", partial(work, "work", work_begun))
    host.turn_task("turns", partial(work, "turns", turns_begun))
    host.at_end(end)
    host.enter(noted("second"))
    assert order == []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group, AsyncExitStack() as stack:
        tasks = SupervisedTasks(group, now_ms=now_ms)
        await host.open(stack)
        host.start(tasks, stack)
        host.start_turns(tasks, stack)
        await turns_begun.wait()
        await work_begun.wait()
    ended = ["stop turns", "stop work", "end", "leave second", "leave first"]
    assert order == ["enter first", "enter second", *ended]


def builder_of(home: Path) -> HostBuilder:
    """Return a builder whose parts nobody uses."""
    unused: Any = None
    parts = {"database": unused, "index": unused, "admission": unused, "audit": unused, "publish": print}
    return HostBuilder(settings=load_settings({}, home=home), rooms=(), **parts)


def test_a_part_that_no_room_has_offered_is_named(tmp_path: Path) -> None:
    host = builder_of(tmp_path)
    host.offer(answers := Answers({}, "", {}, {}, {}))
    assert host.need(Answers) is answers
    assert host.find(Shown) is None
    with pytest.raises(LookupError, match="no Shown"):
        host.need(Shown)
