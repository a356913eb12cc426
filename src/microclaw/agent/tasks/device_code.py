"""Code that a device sends as `run_task` of kind `sandbox` (docs/protocols/link.md, Tasks); a setting lets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from microclaw.agent.tasks.order import TaskOrder, refused_event
from microclaw.agent.tasks.service import TaskService
from microclaw.conversion import decode_json
from microclaw.devices.link.tasks import MAX_TEXT_BYTES, TaskEnd, Tell, failure_text
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.errors import TaskRefused
from microclaw.host.store.tasks import TaskLanguage, TaskRow
from microclaw.text import clean_text

# For the output; the rest is for words about it.
_ROOM: Final = MAX_TEXT_BYTES - 200
_PROGRESS: Final = re.compile(r"progress:? +(0(?:\.\d{1,6})?|1(?:\.0{1,6})?)\s*")
_FORM: Final = 'send Python source, or {"code": TEXT, "language": NAME, "files": {NAME: TEXT}, "keep": [NAME]}'


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The input of such a task, where it is a JSON object."""

    code: str
    language: TaskLanguage = "python"
    files: dict[str, str] = {}
    keep: list[str] = []


class DeviceCode(msgspec.Struct, frozen=True):
    """A TaskRunner of devices/link/tasks.py. Devices with one of `labels` may send code; `all` means every device."""

    tasks: TaskService
    devices: Registry
    labels: Collection[str]

    async def run(self, device: str, text: str, tell: Tell, waits: Callable[[str | None], None]) -> TaskEnd:  # noqa: ARG002 - nobody is asked
        """Run the code and return the end of its output. Cancelling it kills the code's processes."""
        sender = self.devices.get(device)
        order = _order(sender, text)
        if {"all", *sender.labels}.isdisjoint(self.labels):
            refusal = TaskRefused(
                "this host runs no code of this device",
                next_step="its owner names one of its labels in tasks.from_devices: "
                f"microclaw config set tasks.from_devices {min(sender.labels, default='LABEL')}",
            )
            self.tasks.record(refused_event(order, refusal.message))
            raise refusal
        progress: float | None = None

        def report(lines: Sequence[str]) -> None:
            nonlocal progress
            for line in lines:
                share = _PROGRESS.fullmatch(line)
                if share is not None:
                    progress = float(share[1])
            tell(clean_text(lines[-1], one_line=True, limit=200), progress)

        row = await self.tasks.submit(order)
        return _end(await self.tasks.follow(row, report))


def _order(device: Device, text: str) -> TaskOrder:
    document = Document(text)
    if text.lstrip().startswith("{"):
        try:
            document = decode_json(text, Document)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise TaskRefused(f"the input is not a document of a task: {exc}", next_step=_FORM) from exc
    return TaskOrder(
        language=document.language,
        code=document.code,
        files={name: content.encode(errors="replace") for name, content in document.files.items()},
        keep=document.keep,
        person_id=f"device:{device.device_id}",
        asked_by=device.name,
        approval="tasks.from_devices",
        device_id=device.device_id,
        channel="device",
        chat_id=device.name,
    )


def _end(row: TaskRow) -> TaskEnd:
    printed = clean_text(row.output[-_ROOM:].decode(errors="replace"))
    if row.state == "done":
        return TaskEnd(is_done=True, text=printed)
    if row.ending == "ended":
        code = "code_failed"
        why = f"it ended with exit code {row.exit_code}"
    else:
        code = row.ending
        why = row.reason or f"task {row.number} ended early"
    if printed.strip():
        why += f"; it printed: {clean_text(printed[-1_000:], one_line=True)}"
    return TaskEnd(is_done=False, text=failure_text(code, why, "correct the code, or ask for less"))
