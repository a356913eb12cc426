"""The tool run-code: code in the sandbox over telemetry and files of the workspace. It runs no code itself.

The output of the code is untrusted text if it may repeat words of others: it had a network or a file, or its turn had
read such text. Telemetry is numbers under short names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta
from msgspec.structs import replace

from microclaw.agent.tasks.order import MAX_CODE_BYTES, TaskOrder, available_languages, input_lines
from microclaw.agent.tasks.rights import check_may_run
from microclaw.agent.tasks.service import TaskService
from microclaw.agent.turn.workspace import Workspace
from microclaw.clock import now_ms
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import find_device
from microclaw.devices.telemetry.history import CSV_HEAD, MAX_POINTS, TelemetryHistory, csv_lines, unit_of
from microclaw.errors import ToolFailed, ToolRetry
from microclaw.events import Evidence, ResultFile
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.host.store.tasks import TaskLanguage, TaskRow
from microclaw.text import code_lines, count_text, fence_text, moment_text, read_duration_ms

# Of the output of the code, for the model.
MAX_SHOWN_CHARS: Final = 3_000
# Devices, and series of each device, that an error lists.
MAX_LISTED_DEVICES: Final = 8
MAX_LISTED_SERIES: Final = 16
# Files of one task that go into the chat.
MAX_SENT: Final = 8
# Of one such file: Telegram takes no larger photo.
MAX_SENT_BYTES: Final = 10 << 20


class SeriesParameters(Parameters, kw_only=True):
    """A device's telemetry as a CSV file: time, device, key, unit, min, max, mean, count."""

    device: str | None = None
    key: Annotated[str, Meta(max_length=64, description="One series; all of them without it.")] | None = None
    since: Annotated[str, Meta(max_length=20, description="How long ago it begins: 30m, 1h (default), 7d.")] = "1h"
    until: Annotated[str, Meta(max_length=20, description="How long ago it ends.")] | None = None
    file: Annotated[str, Meta(max_length=200, description="Its name there; else telemetry.csv.")] = "telemetry.csv"


class CodeParameters(Parameters, kw_only=True):
    language: TaskLanguage = "python"
    code: Annotated[str, Meta(min_length=1, max_length=MAX_CODE_BYTES)]
    telemetry: Annotated[
        tuple[SeriesParameters, ...],
        Meta(max_length=8, description="Series to read as CSV files; their names: look telemetry.show."),
    ] = ()
    files: Annotated[tuple[str, ...], Meta(max_length=16, description="Workspace files to read.")] = ()
    keep: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Files that it writes; pictures reach the chat.")
    ] = ()
    send: Annotated[bool, Meta(description="Send every kept file, not only pictures.")] = False
    seconds: Annotated[float, Meta(gt=0)] | None = None
    allow: Annotated[str, Meta(max_length=32, description="Network: a name in the host's allowlist; asks.")] | None = (
        None
    )


@dataclass(frozen=True, slots=True)
class CodeTool:
    """The parts that run-code works with. A person who may not run code is refused before anything is read."""

    tasks: TaskService
    workspace: Workspace
    devices: Registry
    history: TelemetryHistory | None

    def tool(self) -> Tool[Any]:
        """Build the tool run-code."""
        return Tool(
            "run-code",
            "Run code in a sandbox without network: calculate, analyse telemetry, make files. "
            f"Languages: {', '.join(available_languages())}. Python has its standard library.",
            CodeParameters,
            Permission.ACT,
            # It changes nothing outside of its own folder, and a stopped turn may end it.
            Effect.READ,
            self._run,
            foreign=True,
            required_permission=self._permission,
            words=_words,
            describe=self._describe,
        )

    async def _permission(self, parameters: CodeParameters, context: ToolContext) -> Permission:
        check_may_run(self.tasks.roles, context.person_id)
        # With a network the files and the telemetry may leave this host.
        return Permission.ACT if parameters.allow is None else Permission.RISKY

    async def _run(self, parameters: CodeParameters, context: ToolContext) -> ToolOutput:
        person = check_may_run(self.tasks.roles, context.person_id)
        order = TaskOrder(
            language=parameters.language,
            code=parameters.code,
            files=await self._inputs(parameters, context),
            keep=parameters.keep,
            seconds=parameters.seconds,
            person_id=context.person_id,
            asked_by=person.name,
            allow=parameters.allow,
            approval="none needed",
            channel=context.channel,
            chat_id=context.chat_id,
        )
        row = await self.tasks.follow(await self.tasks.submit(order))
        may_quote = context.foreign or parameters.allow is not None or bool(parameters.files)
        output = _output(row, sends_all=parameters.send, takes_files=context.takes_files)
        return replace(output, foreign=may_quote)

    async def _describe(self, parameters: CodeParameters, context: ToolContext) -> tuple[str, ...]:
        """Return lines about the files and the network hosts for the question.

        The code and the telemetry are arguments, so the question shows them already. Telemetry also changes while the
        question waits.
        """
        files = await self._inputs(replace(parameters, telemetry=()), context)
        return await asyncio.to_thread(input_lines, files, await self.tasks.reach(parameters.allow))

    async def _inputs(self, parameters: CodeParameters, context: ToolContext) -> dict[str, bytes]:
        """Return the files for the code, by name. Raises ToolRetry if two have the same name."""
        workspace = self.workspace.of(context.person_id)
        files: dict[str, bytes] = {}
        for path in parameters.files:
            files[path] = await asyncio.to_thread(workspace.read, path)
        for series in parameters.telemetry:
            files[series.file] = await self._telemetry(series, context)
        if len(files) < len(parameters.files) + len(parameters.telemetry):
            raise ToolRetry("two files have the same name", next_step="give `file` another name")
        return files

    async def _telemetry(self, series: SeriesParameters, context: ToolContext) -> bytes:
        """Return a device's telemetry as CSV. Raises ToolRetry if the time is wrong or has no values."""
        history = self.history
        if history is None:
            raise ToolRetry("this host keeps no telemetry", next_step="leave `telemetry` out")
        device = find_device(self.devices, context, series.device)
        keys = await history.keys(device, series.key)
        since_ms = _ago_ms(series.since)
        until_ms = 0.0 if series.until is None else _ago_ms(series.until)
        if since_ms <= until_ms:
            raise ToolRetry("`since` is not before `until`", next_step='as since "2h", until "1h"')
        now = now_ms() + 1
        begin_ms = int(now - since_ms)
        end_ms = int(now - until_ms)
        has_points = False
        lines = [CSV_HEAD]
        for key in keys:
            values = await history.read(device.device_id, (key,), begin_ms, end_ms, MAX_POINTS)
            has_points = has_points or any(part.points for part in values.series)
            lines.append(csv_lines(device.name, values.series))
        if not has_points:
            text = f"{device.name} has no values of {series.key or 'telemetry'} in that time, so nothing was run"
            raise ToolRetry(text, next_step=await self._series_text(history))
        return "".join(lines).encode()

    async def _series_text(self, history: TelemetryHistory) -> str:
        """Return a text with the devices' series, each with its unit and the time of its newest value."""
        texts = []
        for device in self.devices.list()[:MAX_LISTED_DEVICES]:
            newest_ms = {value.key: value.at_ms for value in history.last(device.device_id)}
            keys = await history.keys(device)
            for key in keys[:MAX_LISTED_SERIES]:
                age = "older"
                if key in newest_ms:
                    age = f"newest {moment_text(newest_ms[key])}"
                texts.append(f"{device.name} {key} {unit_of(key)} ({age})")
        if texts:
            return f"choose of: {'; '.join(texts)}"
        return "no device has sent telemetry yet"


def _words(parameters: CodeParameters, _context: ToolContext, _lines: Sequence[str]) -> str:
    line_count = count_text(len(code_lines(parameters.code)), "line")
    network = "without a network"
    if parameters.allow is not None:
        network = f"with the network of {parameters.allow}"
    return f"run {line_count} of {parameters.language} in the sandbox, {network}"


def _output(row: TaskRow, *, sends_all: bool, takes_files: bool) -> ToolOutput:
    """Return the result of a task. Raises ToolFailed if it did not run to its end."""
    if row.ending in ("interrupted", "not_run"):
        raise ToolFailed(f"task {row.number} did not run to its end: {row.reason}", next_step="ask again")
    text = row.output.decode(errors="replace")
    if len(text) > MAX_SHOWN_CHARS:
        text = f"...{text[-MAX_SHOWN_CHARS:]}"
    fields: dict[str, Any] = {
        "success": row.state == "done",
        "task": row.number,
        "ending": row.ending,
        "exit_code": row.exit_code,
        "output": fence_text(text, f"the output of task {row.number}"),
        "files": [{"name": file.name, "bytes": file.size_bytes} for file in row.files],
    }
    if row.refused:
        fields["not_kept"] = dict(row.refused)
    if row.reason:
        fields["message"] = row.reason
    sent_files: list[ResultFile] = []
    if takes_files:
        sent_files = _files_for_chat(row, sends_all=sends_all)
    elif row.files:
        fields["files_at"] = f"/v1/tasks/{row.number}/files/"
    if sent_files:
        fields["sent_to_chat"] = [file.name for file in sent_files]
    proof = f"task {row.number}: {row.ending.replace('_', ' ')}"
    if row.ending == "ended":
        proof = f"task {row.number}: exit code {row.exit_code}"
    if row.files:
        proof += f"; it left {', '.join(file.name for file in row.files)}"
    return ToolOutput(fields, (Evidence("written", proof),), files=tuple(sent_files))


def _files_for_chat(row: TaskRow, *, sends_all: bool) -> list[ResultFile]:
    """Return the pictures of a task, or all its files, without those that are too large or too many for a chat."""
    files: list[ResultFile] = []
    for file in row.files:
        is_wanted = sends_all or file.media_type.startswith("image/")
        if is_wanted and 0 < file.size_bytes <= MAX_SENT_BYTES:
            files.append(ResultFile(row.number, file.name, file.media_type, file.size_bytes))
    return files[:MAX_SENT]


def _ago_ms(text: str) -> float:
    duration_ms = read_duration_ms(text)
    if duration_ms is None:
        raise ToolRetry(f"{text[:40]!r} is not a length of time", next_step="as 30m, 1h or 7d")
    return duration_ms
