"""The tool run-code: code in the sandbox over files that it is given, and the files that it leaves.

What the code prints is untrusted text: it may repeat words of a page, of a file or of a device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from msgspec import Meta, structs

from microclaw.agent.workspace import Workspace
from microclaw.auth.gate import Effect, Permission
from microclaw.auth.people import Roles
from microclaw.clock import now_ms
from microclaw.devices.registry import Registry
from microclaw.devices.target import find_device
from microclaw.errors import ToolFailed, ToolRetry
from microclaw.events import Evidence, ResultFile
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.store.tasks import TaskLanguage, TaskRow
from microclaw.tasks.access import check_may_run
from microclaw.tasks.order import MAX_CODE_BYTES, TaskOrder, available, file_lines, reach_lines
from microclaw.tasks.service import TaskService
from microclaw.telemetry.history import CSV_HEAD, MAX_POINTS, TelemetryHistory, csv_lines
from microclaw.text import code_lines, count_text, fence_text, read_duration_ms

MAX_SHOWN_CHARS: Final = 3_000  # of its output, for the model
MAX_SENT: Final = 8  # files of one task that go into the chat
MAX_SENT_BYTES: Final = 10 << 20  # of one: what Telegram takes for a photo


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
        tuple[SeriesParameters, ...], Meta(max_length=8, description="Series to read as CSV files.")
    ] = ()
    files: Annotated[tuple[str, ...], Meta(max_length=16, description="Workspace files to read.")] = ()
    keep: Annotated[
        tuple[str, ...], Meta(max_length=16, description="Files that it writes; pictures reach the chat.")
    ] = ()
    send: Annotated[bool, Meta(description="Send every kept file, not the pictures alone.")] = False
    seconds: Annotated[float, Meta(gt=0)] | None = None
    allow: Annotated[str, Meta(max_length=32, description="Network: a name in the host's allowlist; asks.")] | None = (
        None
    )


@dataclass(frozen=True, slots=True)
class CodeTool:
    """The parts that run-code works with. Whoever may not run code is refused before anything is read."""

    tasks: TaskService
    workspace: Workspace
    devices: Registry
    history: TelemetryHistory
    roles: Roles

    def tool(self) -> Tool[Any]:
        """run-code."""
        return Tool(
            "run-code",
            "Run code in a sandbox without network: calculate, analyse telemetry, make files. "
            f"Languages: {', '.join(available())}. Python has its standard library.",
            CodeParameters,
            Permission.ACT,
            Effect.READ,  # it changes nothing outside of its own folder, and a stopped turn may end it
            self._run,
            foreign=True,
            required_permission=self._permission,
            words=_words,
            describe=self._describe,
        )

    async def _permission(self, asked: CodeParameters, context: ToolContext) -> Permission:
        check_may_run(self.roles, context.person_id)
        return Permission.ACT if asked.allow is None else Permission.RISKY  # what it reads may leave this host

    async def _run(self, asked: CodeParameters, context: ToolContext) -> ToolOutput:
        name = check_may_run(self.roles, context.person_id).name
        order = TaskOrder(
            language=asked.language,
            code=asked.code,
            files=await self._inputs(asked, context),
            keep=asked.keep,
            seconds=asked.seconds,
            person_id=context.person_id,
            asked_by=name,
            allow=asked.allow,
            approval="none needed",
            channel=context.channel,
            chat_id=context.chat_id,
        )
        row = await self.tasks.follow(await self.tasks.submit(order))
        return _output(row, asked, takes_files=context.takes_files)

    async def _describe(self, asked: CodeParameters, context: ToolContext) -> tuple[str, ...]:
        """The files and the hosts; the code is an argument. Telemetry is named there, too, and goes on meanwhile."""
        given = await self._inputs(structs.replace(asked, telemetry=()), context)
        files = await asyncio.to_thread(file_lines, given)
        return (*files, *reach_lines(await self.tasks.reach(asked.allow)))

    async def _inputs(self, asked: CodeParameters, context: ToolContext) -> dict[str, bytes]:
        """The files for the code, by name. Raises ToolRetry where two have one name."""
        read = self.workspace.of(context.person_id).read_bytes
        given = [(path, await asyncio.to_thread(read, path)) for path in asked.files]
        given += [(series.file, await self._telemetry(series, context)) for series in asked.telemetry]
        files = dict(given)
        if len(files) < len(given):
            raise ToolRetry("two files have the same name", next_step="give `file` another name")
        return files

    async def _telemetry(self, series: SeriesParameters, context: ToolContext) -> bytes:
        device = find_device(self.devices, context, series.device)
        keys = await self.history.keys(device, series.key)
        since_ms, until_ms = _ago(series.since), 0.0 if series.until is None else _ago(series.until)
        if since_ms <= until_ms:
            raise ToolRetry("`since` is not before `until`", next_step='as since "2h", until "1h"')
        now = now_ms() + 1
        span = (int(now - since_ms), int(now - until_ms))
        found = [await self.history.read(device.device_id, (key,), *span, MAX_POINTS) for key in keys]
        return "".join([CSV_HEAD, *(csv_lines(device.name, one.series) for one in found)]).encode()


def _words(asked: CodeParameters, _context: ToolContext, _lines: Sequence[str]) -> str:
    lines = count_text(len(code_lines(asked.code)), "line")
    network = "without a network" if asked.allow is None else f"with the network of {asked.allow}"
    return f"run {lines} of {asked.language} in the sandbox, {network}"


def _output(row: TaskRow, asked: CodeParameters, *, takes_files: bool) -> ToolOutput:
    if row.ending in ("interrupted", "not_run"):
        raise ToolFailed(f"task {row.number} did not run to its end: {row.reason}", next_step="ask again")
    text = row.output.decode(errors="replace")
    shown = text if len(text) <= MAX_SHOWN_CHARS else f"...{text[-MAX_SHOWN_CHARS:]}"
    fields: dict[str, Any] = {
        "success": row.state == "done",
        "task": row.number,
        "ending": row.ending,
        "exit_code": row.exit_code,
        "output": fence_text(shown, f"the output of task {row.number}"),
        "files": [{"name": one.name, "bytes": one.size_bytes} for one in row.files],
    }
    if row.refused:
        fields["not_kept"] = dict(row.refused)
    if row.reason:
        fields["message"] = row.reason
    sent = [
        ResultFile(row.number, one.name, one.media_type, one.size_bytes)
        for one in (row.files if takes_files else ())
        if (asked.send or one.media_type.startswith("image/")) and 0 < one.size_bytes <= MAX_SENT_BYTES
    ][:MAX_SENT]
    if row.files and not takes_files:
        fields["files_at"] = f"/v1/tasks/{row.number}/files/"
    if sent:
        fields["sent_to_chat"] = [one.name for one in sent]
    how = f"exit code {row.exit_code}" if row.ending == "ended" else row.ending.replace("_", " ")
    names = ", ".join(one.name for one in row.files)
    evidence = Evidence("written", f"task {row.number}: {how}{f'; it left {names}' if names else ''}")
    return ToolOutput(fields, (evidence,), foreign=True, files=tuple(sent))


def _ago(text: str) -> float:
    found = read_duration_ms(text)
    if found is None:
        raise ToolRetry(f"{text[:40]!r} is no length of time", next_step="as 30m, 1h or 7d")
    return found
