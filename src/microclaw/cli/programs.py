"""`microclaw run` and installing: sends a program to the host and shows its stages. It compiles nothing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from microclaw.apps.building import program_language
from microclaw.apps.run_times import RunTimes, parse_run_times, times_body
from microclaw.cli.approval_prompt import ask_person
from microclaw.cli.call_commands import is_address
from microclaw.cli.firmware_option import FirmwareOption, described_board
from microclaw.cli.interrupts import on_interrupt
from microclaw.cli.known_devices import known_devices
from microclaw.cli.options import FAILED, INTERRUPTED, GlobalOptions, global_options
from microclaw.cli.program_files import (
    WASM_MAGIC,
    app_name,
    optimization_level,
    read_expectations,
    read_program,
    source_text,
)
from microclaw.client import Client, request_number
from microclaw.client.request import HostError, segment
from microclaw.errors import ConfigError, MicroclawError, NoHost, ProtocolError
from microclaw.events import ApprovalAsked, ApprovalSettled, Step
from microclaw.terminal.page import Terminal
from microclaw.wire.host_api import Failure, Result, StreamEvent

CompilerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--compiler", metavar="NAME", help="zig, wasi-sdk, clang, docker or podman; the first that is here without it."
    ),
]
WhenBackOption: TypeAlias = Annotated[
    bool,
    typer.Option("--when-back", help="Where the device does not answer: done when it is back, and told then."),
]
EVERY_HELP = "Begin it anew so often: 30s, 10m, 1h."
STOP_AFTER_HELP = "Stop each run after this time."
EveryOption: TypeAlias = Annotated[str | None, typer.Option("--every", metavar="TIME", help=EVERY_HELP)]
StopAfterOption: TypeAlias = Annotated[str | None, typer.Option("--stop-after", metavar="TIME", help=STOP_AFTER_HELP)]
NameOption: TypeAlias = Annotated[
    str | None, typer.Option("--name", help="The app's name; the file's without its ending otherwise.")
]
HeapOption: TypeAlias = Annotated[
    int, typer.Option("--heap", min=256, max=16 << 20, help="The app's heap in bytes.")  # as api/app_routes.py takes it
]
OptimizationOption: TypeAlias = Annotated[
    str,
    typer.Option("-O", "--optimization", callback=optimization_level, help="O0, O1, O2, O3, Os or Oz."),
]
EXPECT_HELP = "What it must do, one expectation a line (docs/proof.md)."
_STOPPED_LISTENING = Failure(
    "interrupted",
    "interrupted: a change that has begun is finished by the host, any other is not made",
    "microclaw app changes shows it, microclaw app undo takes it back",
    exit_code=INTERRUPTED,
)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="C, C++ or Python source, a sketch (.ino) or a .wasm file.")],
    name: NameOption = None,
    heap: HeapOption = 8192,
    optimization: OptimizationOption = "O3",
    replace: Annotated[bool, typer.Option("--replace", help="Take over a name that another host's app holds.")] = False,
    board: Annotated[str, typer.Option("--board", help="With -d HOST:PORT: the board's profile.")] = "virtual",
    force: Annotated[bool, typer.Option("--force", help="Install it although its trial failed.")] = False,
    expect: Annotated[Path | None, typer.Option("--expect", metavar="FILE", help=EXPECT_HELP)] = None,
    firmware: FirmwareOption = None,
    every: EveryOption = None,
    stop_after: StopAfterOption = None,
    when_back: WhenBackOption = False,
) -> None:
    """Build, check, try, install and verify a program. With -d HOST:PORT, no host is needed."""
    options = global_options(ctx)
    name = app_name(file, name)
    if not options.chooses_many and options.device and is_address(options.device):
        refuse_when_back(when_back=when_back)
        # with the compiler, which the host has otherwise
        from microclaw.cli.direct_programs import DirectRun, run_directly

        profile = described_board(board, firmware)
        refuse_times(parse_run_times(every, stop_after))
        asked = DirectRun(options.device, file, name, profile, optimization, heap, replace, force, expect)
        run_directly(options, asked)
        return
    if firmware is not None:
        raise ConfigError(
            "--firmware is of one run with -d HOST:PORT; a device keeps its description",
            next_step="microclaw device add NAME --firmware KEY=VALUE",
        )
    body: dict[str, Any] = {
        "name": name,
        "heap_bytes": heap,
        "optimization": optimization,
        "replace": replace,
        "force": force,
        **times_body(every, stop_after),
        **program_body(file, expect),
    }
    host = options.host()
    if options.chooses_many:
        install_on_many(options, host, body, when_back=when_back)
        return
    device = chosen_device(options, host)
    made = follow(options, host, later_path(f"/v1/devices/{segment(device)}/apps", when_back=when_back), body)
    if not end_deferred(options, made):
        end_install(options, made)


def later_path(path: str, *, when_back: bool) -> str:
    """The path of an act that may be deferred."""
    return f"{path}?when_back=true" if when_back else path


def refuse_when_back(*, when_back: bool) -> None:
    """Raise ConfigError for a board at an address: without a host nobody is there when it comes back."""
    if when_back:
        raise ConfigError(
            "--when-back needs a host, which keeps the act until the board is back",
            next_step="microclaw up, then the device's name with -d",
        )


def refuse_times(times: RunTimes | None) -> None:
    """Raise ConfigError for a board at an address: without a host nobody is there to begin the next run."""
    if times is not None:
        raise ConfigError(
            "--every and --stop-after need a host: this firmware has no intervals",
            next_step="microclaw up, then the device's name with -d",
        )


def end_deferred(options: GlobalOptions, made: Mapping[str, Any]) -> bool:
    """Say what is deferred; False when the act was done."""
    if "deferred" not in made:
        return False
    if not options.wrote_json("deferred", made):
        options.say(str(made["text"]))
        if made["replaces"]:
            options.say("it replaces what was deferred for that program before")
        options.say(f"drop it: microclaw app cancel {made['name']} -d {made['device']}")
    return True


def program_body(file: Path, expect: Path | None) -> dict[str, Any]:
    """The program of a file, and what it must do, as the host takes them."""
    content = read_program(file)
    body: dict[str, Any] = {}
    if content.startswith(WASM_MAGIC):
        body["wasm"] = base64.b64encode(content).decode()
    else:
        body["source"] = source_text(content, file)
        body["language"] = program_language(file.name)
    if expect is not None:
        body["expect"] = read_expectations(expect).text
    return body


def install_on_many(options: GlobalOptions, host: Client, body: Mapping[str, Any], *, when_back: bool) -> None:
    from microclaw.cli.many_devices import act_on_many  # what several devices need

    path, what = later_path("/v1/apps", when_back=when_back), f"Install {body['name']} on"
    act_on_many(options, host, what, path, body, "deployments", loses=lambda names: _replaced_on(host, names, body))


def _replaced_on(host: Client, devices: Sequence[str], body: Mapping[str, Any]) -> list[str]:
    """Of these devices, those that have another program of this name, one from other source or bytes."""
    name = body["name"]
    there = [app for app in host.programs.list() if app["name"] == name and app["device"] in devices]
    if "wasm" in body:
        mine = hashlib.sha256(base64.b64decode(body["wasm"])).hexdigest()
        return [str(app["device"]) for app in there if app["sha256"] != mine]
    shown = [host.programs.get(str(app["device"]), str(name)) for app in there]
    return [str(app["device"]) for app in shown if app["source"] != body["source"]]


def end_install(options: GlobalOptions, made: dict[str, Any]) -> None:
    """Write the document with --json, else what is proved. Exit code 1 when the evidence contradicts the trial."""
    if not options.wrote_json("deployment", made) and not options.quiet:
        hint = "" if made["expected"] else " (--expect FILE)"
        options.terminal().row("proof", f"{made['proof']}{hint}")
    if made["verified"]:
        return
    if options.quiet and not options.json:  # the step that says so was not shown
        text = f"{made['name']} is on {made['device']}, but not verified: {made['evidence']['text']}"
        raise HostError(Failure("not_verified", text, f"microclaw logs {made['device']}"))
    raise typer.Exit(FAILED)


def chosen_device(options: GlobalOptions, host: Client) -> str:
    """The device of -d, else the only one there is."""
    if options.device:
        return options.device
    names = [one.name for one in known_devices(host)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("this host knows no device", next_step="microclaw device add NAME --wasmachine HOST:PORT")
    raise ConfigError(f"which device? there are {len(names)}", next_step=f"give -d {' or -d '.join(sorted(names)[:5])}")


def device_with_program(options: GlobalOptions, host: Client, name: str) -> str:
    """The device of -d, else the only one that has a program of that name, else the only one there is."""
    if options.device:
        return options.device
    found = sorted({str(app["device"]) for app in host.programs.list() if app["name"] == name})
    if len(found) > 1:
        step = f"give -d {' or -d '.join(found[:5])}"
        raise ConfigError(f"which device? {name} is on {len(found)}: {', '.join(found[:5])}", next_step=step)
    if found:
        return found[0]
    devices = known_devices(host)
    if len(devices) == 1:
        return devices[0].name
    step = "microclaw app list; for a device that does not answer: -d NAME"
    raise ConfigError(f"no device lists a program {name}", next_step=step)


def follow(
    options: GlobalOptions, host: Client, path: str, body: Mapping[str, Any] | None = None, *, method: str = "POST"
) -> dict[str, Any]:
    """Start work of the host, show its steps, ask for its approvals, return its result. Raises HostError if it failed.

    The first Ctrl-C cancels what has changed nothing yet; the next one stops listening.
    """
    terminal, number = options.terminal(), request_number()
    try:
        with _cancelling(terminal, host, number):
            return _result(options, terminal, host, host.stream(path, body, method=method, number=number))
    except KeyboardInterrupt as exc:
        raise HostError(_STOPPED_LISTENING) from exc


def _cancelling(terminal: Terminal, host: Client, number: str) -> AbstractContextManager[None]:
    """While inside, the first SIGINT cancels the work or says that it has begun, and the next ones interrupt.

    A handler that the caller set hears of the first one too.
    """

    def stop() -> None:
        try:
            state = host.cancel(number)
        except MicroclawError as exc:  # a host that cannot cancel, or none
            raise KeyboardInterrupt from exc
        if state == "unknown":
            raise KeyboardInterrupt
        if state == "begun":
            terminal.row("", "the change has begun: the host finishes it. Ctrl-C again stops listening only")
            terminal.row("next", "see it: microclaw app changes; take it back: microclaw app undo")

    return on_interrupt(stop, once=True, passed_on=True)


def _result(options: GlobalOptions, terminal: Terminal, host: Client, events: Iterator[StreamEvent]) -> dict[str, Any]:
    stages = Stages(terminal)
    for event in events:
        if not isinstance(event, Step | Failure):
            stages.flush()
        match event:
            case Step():
                if not options.quiet and not options.json:
                    stages.show(event)
            case ApprovalAsked():
                ask_person(terminal, host, event, yes=options.yes)
            case ApprovalSettled():
                terminal.event(event)
            case Result(value):
                return value
            case Failure():
                stages.failed(event)
                raise HostError(event)
            case _:
                raise ProtocolError("the host answered where a result was expected")
    raise NoHost("the host ended the stream without a result", next_step="microclaw status")


MAX_REASON_CHARS = 60


class Stages:
    """Shows the stages of work. One that failed waits: the error that ends the command may say the same."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._failed: Step | None = None

    def show(self, step: Step) -> None:
        self.flush()
        if step.state == "failed":
            self._failed = step
        else:
            self._terminal.step(step)

    def failed(self, failure: Failure) -> None:
        """The command ends with this error: of a stage that says the same only the reason is shown."""
        step, self._failed = self._failed, None
        if step is None:
            return
        told = {line.strip() for text in (failure.message, *_texts(failure)) for line in text.splitlines()}
        wanted = {line.strip() for text in (step.text, *step.detail) for line in text.splitlines()}
        if wanted <= told and (failure.next_step or "").startswith(step.next_step or ""):
            step = dataclasses.replace(step, text=_short(step.text), detail=(), next_step=None)
        self._terminal.step(step)

    def flush(self) -> None:
        if self._failed is not None:
            self._terminal.step(self._failed)
            self._failed = None


def _short(text: str) -> str:
    """The first line of a reason, on one line of the terminal: who sees stdout alone must not guess."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= MAX_REASON_CHARS else f"{line[: MAX_REASON_CHARS - 1]}…"


def _texts(failure: Failure) -> list[str]:
    return [str(diagnostic["text"]) for diagnostic in failure.diagnostics]
