"""Tools that deploy, list, remove and try programs and read their logs. The fields are those of LLMos' WASM tools.

The work itself is done in apps/.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, field
from msgspec.structs import replace

from microclaw.apps.acting import removal_permission
from microclaw.apps.building import ProgramImage
from microclaw.apps.catalogue import AppListing
from microclaw.apps.deployment import ChangeRequest
from microclaw.apps.expectation_result import NO_EXPECTATION, ExpectationResult
from microclaw.apps.expectation_text import MAX_TEXT_CHARS, parse_expectations
from microclaw.apps.expectations import Expectations, PinStimulus
from microclaw.apps.late_proof import Place
from microclaw.apps.parts import Apps
from microclaw.apps.run_times import keeper_text
from microclaw.apps.silence import way_to_reset
from microclaw.apps.source_log import SourceLog
from microclaw.apps.trial import Trial, TrialOptions
from microclaw.auth.gate import Effect, Permission
from microclaw.devices.calls import LogLine
from microclaw.devices.device import Device
from microclaw.devices.target import OnDevice, device_tool, find_device
from microclaw.errors import AppNotFound, DeviceSilent, DeviceUnreachable
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.text import fence_text
from microclaw.transports import virtual_board

MAX_SOURCE_CHARS = 256 * 1024
EXPECT: Final = (
    "What the person wants to see, one a line, written before the program: `pin 2: period 1 s +- 5 %, duty 50 %`, "
    "`when pin 4 falls: pin 2 rises within 50 ms`, `pin 3: 6 edges`, `pin 3: high for 200 ms`, `pin 3: rises at 5 s`, "
    "`pwm 5: 0 -> 100 % within 2 s`, `led 48: red at 1 s`, `servo 4: 90 deg at 1 s`, "
    '`log every 5 s ~ "temp .*"`, `pin 7: never high while pin 8 high`; from outside: '
    "`set pin 4 = 0 at 2 s`, `i2c.bme280.temperature = 31 at 4 s`. Not met: not deployed."
)
_ON_THE_BOARD = frozenset({"waiting", "running", "listed", "ended", "trapped", "dead"})


class _OnAddress(OnDevice, kw_only=True, rename="camel"):
    device_ip: Annotated[str, Meta(description="Its address instead of its name.")] | None = None


class DeployParameters(_OnAddress, kw_only=True, rename="camel"):
    source_code: Annotated[
        str,
        Meta(
            min_length=1, max_length=MAX_SOURCE_CHARS, description="The program: C, C++, an Arduino sketch, or Python."
        ),
    ]
    app_name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_-]{1,31}$",
            description="Letters, digits, - and _. The device's program of that name is replaced.",
        ),
    ]
    heap_size: Annotated[
        int, Meta(ge=1024, le=131_072, description="App heap in bytes; the memory that a Python program claims.")
    ] = 8192
    optimization_level: Literal["O0", "O1", "O2", "O3", "Os", "Oz"] = "O3"
    expect: Annotated[str, Meta(max_length=MAX_TEXT_CHARS, description=EXPECT)] | None = None


class QueryParameters(_OnAddress, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(description="Only this app.")] | None = None


class UninstallParameters(_OnAddress, kw_only=True, rename="camel"):
    app_name: Annotated[str, Meta(min_length=1, max_length=126)]


def on_its_holder(apps: Apps) -> Callable[[Any, ToolContext], Awaitable[Any]]:
    """For `Tool.complete`: names the device of a program, where none is named and only one of several has it."""

    async def complete(asked: Any, context: ToolContext) -> Any:
        program = getattr(asked, "app_name", None) or getattr(asked, "app", None)
        named = asked.device or getattr(asked, "device_ip", None) or context.device
        boards = [device for device in apps.registry.list() if device.board.pins]
        if named or program is None or len(boards) < 2:
            return asked
        holders = [device.name for device in boards if await apps.change_log.holds(device.device_id, program)]
        return replace(asked, device=holders[0]) if len(holders) == 1 else asked

    return complete


def program_tools(apps: Apps) -> tuple[Tool[Any], ...]:
    """deploy-wasm-app, query-wasm-apps, uninstall-wasm-app."""
    devices, complete = apps.registry, on_its_holder(apps)

    async def deploy(device: Device, asked: DeployParameters, context: ToolContext) -> ToolOutput:
        request = ChangeRequest(
            device=device.name,
            name=asked.app_name,
            source=asked.source_code,
            heap_bytes=asked.heap_size,
            optimization=asked.optimization_level,
            expectations=_expectations(asked.expect),
            place=Place(context.person_id, context.channel, context.chat_id),
            approve=context.approve,
        )
        done = await apps.deployer.deploy(request, context.report)
        fields = {
            "deviceIp": _address(device),
            "appName": done.name,
            "binarySize": done.image.size_bytes,
            "heapSize": asked.heap_size,
            "pins": sorted({*done.image.pins, *done.trial.pins}),
            "replaced": done.replaced,
            "verified": done.verified,
            "change": done.change_id,
            "trial": done.trial.summary(),
            **_proof(done.trial, done.expected),
            "log": list(done.trial.log[:10]),
            "warnings": _warnings(done.image, done.trial),
            "message": f"{'replaced' if done.replaced else 'deployed'} {done.name} on {done.device_name}",
        }
        return ToolOutput(fields, (done.evidence,))

    async def query(device: Device, asked: QueryParameters, _: ToolContext) -> ToolOutput:
        listed = await apps.catalogue.list_apps(device.name)
        if any(app.is_away for app in listed):
            raise _away(device, listed)
        there = [app for app in listed if app.condition in _ON_THE_BOARD]
        if asked.app_name is not None:
            _check_there(device, asked.app_name, listed, there)
            there = [app for app in there if app.name == asked.app_name]
        fields = {
            "deviceIp": _address(device),
            "apps": [_app(app) for app in there],
            "count": len(there),
            "missing": [app.name for app in listed if app.condition == "missing"],
            "stopped": [app.name for app in listed if app.condition == "stopped"],
            "message": f"Found {len(there)} WASM app(s) on {device.name}",
        }
        evidence = Evidence("reported", f"listed by {device.name} itself")
        # The board chose the name of such an app, or the words of the error; the toolbox fences what is no word.
        return ToolOutput(fields, (evidence,), foreign=any(app.foreign or app.error for app in there))

    async def uninstall_permission(device: Device, asked: UninstallParameters, _: ToolContext) -> Permission:
        return removal_permission(asked.app_name, await apps.catalogue.list_apps(device.name))

    async def check_uninstall(device: Device, asked: UninstallParameters, _: ToolContext) -> None:
        listed = await apps.catalogue.list_apps(device.name)
        _check_there(device, asked.app_name, listed, listed)

    async def uninstall(device: Device, asked: UninstallParameters, context: ToolContext) -> ToolOutput:
        done = await apps.changes.apply(ChangeRequest(device.name, asked.app_name, "uninstall"), context.report)
        fields = {
            "deviceIp": _address(device),
            "appName": done.name,
            "change": done.change_id,
            "undoable": done.undoable,
            "message": f"removed {done.name} from {done.device_name}",
        }
        return ToolOutput(fields, (done.evidence,))

    act = (Permission.ACT, Effect.IDEMPOTENT)
    deploys = (
        "Compile a program in the device's language, check it, try it on a virtual board, put it on the device and "
        "verify it there. For anything that goes on, repeats or reacts."
    )
    lists = "List a device's programs, with their state and pins."
    return (
        device_tool(devices, "deploy-wasm-app", deploys, DeployParameters, deploy, *act, has_preview=True),
        device_tool(devices, "query-wasm-apps", lists, QueryParameters, query, complete=complete),
        device_tool(
            devices,
            "uninstall-wasm-app",
            "Take a program off a device.",
            UninstallParameters,
            uninstall,
            *act,
            required_permission=uninstall_permission,
            check=check_uninstall,
            words="remove {app_name} from {device}",
            complete=complete,
        ),
    )


def _address(device: Device) -> str:
    """That of LLMos; the name of a device without a WASMachine transport."""
    endpoints = (endpoint.partition("://") for endpoint in device.endpoints)
    return next((address for scheme, _, address in endpoints if scheme == "wasmachine"), device.name)


def _away(device: Device, listed: Sequence[AppListing]) -> DeviceUnreachable | DeviceSilent:
    silence = next((app.error for app in listed if app.error is not None), None)
    if silence is not None:  # it takes connections and answers nothing
        step = f"close other clients of it, as it serves one at a time; else {way_to_reset(device)}"
        return DeviceSilent(silence, next_step=step)
    wanted = [app.name for app in listed if app.condition == "unreachable"]
    waiting = [f"{app.deferred.order.act} {app.name}" for app in listed if app.deferred is not None]
    told = f"; wanted there: {', '.join(wanted)}" if wanted else ""
    told += f"; deferred until it is back: {', '.join(waiting)}" if waiting else ""
    step = "check its power and network; the host puts its programs back when it returns"
    return DeviceUnreachable(f"{device.name} does not answer{told}", next_step=step)


def _expectations(text: str | None) -> Expectations | None:
    """Read what a model wrote; the error goes back to it with line, column and what to write instead."""
    return parse_expectations(text) if text is not None and text.strip() else None


def _proof(trial: Trial, expected: Sequence[ExpectationResult]) -> dict[str, Any]:
    """What is proved: each expectation's answer, or that there was none."""
    fields: dict[str, Any] = {"expected": [result.line() for result in expected] or NO_EXPECTATION}
    return fields | ({"inputsTried": list(trial.probes)} if trial.probes else {})


def _warnings(image: ProgramImage, trial: Trial) -> list[str]:
    return [*(found.render() for found in image.warnings[:5]), *trial.warnings[:5]]


def _app(app: AppListing) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": app.name, "heap": app.heap_bytes, "state": app.condition, "pins": list(app.pins)}
    if app.version is not None and app.version.times is not None:
        fields["runs"] = keeper_text(app.version.times, app.version.kind)
    if app.foreign:
        fields["foreign"] = True
    if app.error:
        fields["error"] = app.error
    return fields


def _check_there(device: Device, name: str, listed: Sequence[AppListing], shown: Sequence[AppListing]) -> None:
    """Raise AppNotFound, with those that are `shown`."""
    if all(app.name != name for app in listed):
        raise AppNotFound(
            f"{device.name} has no app {name!r}; apps there: {', '.join(app.name for app in shown) or 'none'}",
            next_step="name one of those" if shown else "install one first",
        )


MAX_EDGES: Final = 100
MAX_LOG_LINES: Final = 50
MAX_PAGES: Final = 16  # of a device's log


class InputParameters(Parameters, kw_only=True):
    pin: Annotated[int, Meta(ge=0, le=255)]
    level: Annotated[int, Meta(ge=0, le=1)]
    at_s: Annotated[float, Meta(ge=0, le=86_400)] = field(name="atSeconds", default=0.0)


class TryParameters(Parameters, kw_only=True, rename="camel"):
    source_code: Annotated[
        str,
        Meta(
            min_length=1, max_length=MAX_SOURCE_CHARS, description="The program: C, C++, an Arduino sketch, or Python."
        ),
    ]
    device: (
        Annotated[str, Meta(description="For which device's board; may be left out when there is only one.")] | None
    ) = None
    for_s: Annotated[float, Meta(gt=0, le=3600, description="Board time; it passes quickly.")] = field(
        name="forSeconds", default=10.0
    )
    heap_size: Annotated[int, Meta(ge=1024, le=131_072)] = 8192
    inputs: Annotated[
        tuple[InputParameters, ...], Meta(max_length=64, description="Levels that come in from outside.")
    ] = ()
    expect: Annotated[str, Meta(max_length=MAX_TEXT_CHARS, description=EXPECT)] | None = None


class LogParameters(OnDevice, kw_only=True):
    app: Annotated[str, Meta(max_length=126, description="Only what this program printed.")] | None = None
    lines: Annotated[int, Meta(ge=1, le=200, description="The newest so many.")] = 30


def trying_tools(apps: Apps) -> tuple[Tool[Any], ...]:
    """try-program, read-logs."""
    devices, source_log, complete = apps.registry, apps.source_log, on_its_holder(apps)

    async def try_program(asked: TryParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        image = await apps.compile(asked.source_code, device.board, "trial", "O3", None, device.kinds)
        inputs = tuple(PinStimulus(each.pin, each.level, each.at_s * 1000) for each in asked.inputs)
        options = TrialOptions(
            asked.for_s * 1000, inputs, heap_bytes=asked.heap_size, expectations=_expectations(asked.expect)
        )
        trial = await apps.try_image(image, device.board, options)
        edges = trial.edges[:MAX_EDGES]
        fields = {
            "success": trial.ok,
            "summary": trial.summary(),
            "ended": trial.ended,
            "pins": list(trial.pins),
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in edges],
            "edge_count": len(trial.edges),
            "log": list(trial.log[:MAX_LOG_LINES]),
            "binarySize": image.size_bytes,
            "peak_heap_bytes": trial.peak_heap_bytes,
            "warnings": _warnings(image, trial),
            **_proof(trial, trial.expected),
        }
        if not trial.ok:
            fields |= {"error": trial.error, "next": trial.next_step}
        return ToolOutput(fields, (Evidence("counted", f"on a virtual board: {trial.summary()}", tuple(edges)),))

    async def read_logs(device: Device, asked: LogParameters, context: ToolContext) -> ToolOutput:
        lines = [line for line in await _log(device, source_log) if asked.app in (None, line.app)]
        newest = lines[-asked.lines :]
        shown = "\n".join(f"{line.t_ms / 1000:.2f} s {line.app or '-'}: {line.text}" for line in newest)
        fenced = fence_text(shown[-6000:], f"printed by programs on {device.name}")
        own = await source_log.own_programs(device.device_id, context.person_id)
        return ToolOutput(
            {"count": len(newest), "lines": fenced},
            (Evidence("reported", f"printed on {device.name}"),),
            foreign=not _is_own_text(device, newest, own),
        )

    tries = (
        "Try a program on a throw-away virtual board: its edges over time, its output, its memory. No device changes."
    )
    logs = "What a device's programs printed."
    return (
        Tool("try-program", tries, TryParameters, Permission.READ, Effect.READ, try_program),
        device_tool(devices, "read-logs", logs, LogParameters, read_logs, complete=complete),
    )


def _is_own_text(device: Device, lines: Sequence[LogLine], own: Collection[str]) -> bool:
    """Whether nobody else has written the lines: `own` programs, or the firmware of a virtual board, which is ours."""
    virtual = any(endpoint.startswith(virtual_board.SCHEME) for endpoint in device.endpoints)
    return all(virtual if line.app is None else line.app in own for line in lines)


async def _log(device: Device, source_log: SourceLog) -> list[LogLine]:
    lines: list[LogLine] = []
    cursor = 0
    for _ in range(MAX_PAGES):
        page = await source_log.read(device, cursor)
        lines += page.lines
        if page.cursor == cursor:
            break
        cursor = page.cursor
    return lines
