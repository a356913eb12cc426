"""Acts on many boards by one request: who is chosen, the one question, a step and a result each. It has no route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, TypeAlias, TypeVar, get_args

from fastapi.responses import StreamingResponse
from pydantic import Field

from microclaw.api.body import RequestBody
from microclaw.api.caller import CHANNEL, Caller, admit, place_of, questions_in
from microclaw.api.jobs import Feed
from microclaw.api.parts import HostParts
from microclaw.apps.catalogue import AppCondition
from microclaw.apps.changes import made_by
from microclaw.apps.many import BoardOutcome, on_each
from microclaw.auth.gate import Permission
from microclaw.devices.device import Device
from microclaw.devices.selection import Selected, Selection, names_text, select
from microclaw.errors import AppNotFound
from microclaw.events import Step
from microclaw.wire.host_api import Result, StreamEvent, failure_object, failure_of

MAX_CHOSEN: Final = 1000
Words = Annotated[list[str], Field(max_length=MAX_CHOSEN)]
T = TypeVar("T")
DEFERRED: Final = "deferred until it is back"
_TO_START: Final = frozenset({"stopped", "deferred", "ended", "trapped", "dead"})
_TO_STOP: Final = frozenset(get_args(AppCondition)) - {"stopped"}

Outcome: TypeAlias = BoardOutcome[dict[str, Any]]
EachBoard: TypeAlias = tuple[Callable[[Device], Awaitable[dict[str, Any]]], Callable[[Outcome], None]]
"""What is done on one board, and what is told when it is over there."""


class Choice(RequestBody):
    """Exactly one of the three."""

    devices: Words = Field([])
    labels: Annotated[list[str], Field(max_length=16)] = Field([])
    all: bool = False

    def selected(self, parts: HostParts, method: str) -> Selected:
        return select(parts.devices, Selection(tuple(self.devices), tuple(self.labels), self.all), method)


def act_on_many(
    parts: HostParts,
    by: Caller,
    chosen: Selected,
    job: str,
    text: str,
    begin: Callable[[Feed], EachBoard],
    *,
    permission: Permission = Permission.ACT,
    weigh: Callable[[], Awaitable[Permission]] | None = None,
    cancellable: bool = False,
) -> StreamingResponse:
    """Ask once for all of them, act on each, and end with the result of all, as JSON lines.

    `text` is what is asked; `weigh` finds a heavier permission while the job runs, for who is asked at all.
    """
    place = place_of(by)
    parts.admission.gate.check(by.person_id, permission, text)

    async def do(feed: Feed) -> StreamEvent:
        with questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place):
            needed = permission if weigh is None or by.direct else await weigh()
            await admit(parts.admission.gate, by, needed, text, detail=device_names(chosen.devices), chat_id=place)
        one, ended = begin(feed)
        with made_by(place, by.person_id, by.conversation):
            return Result(results_object(chosen, await on_each(chosen.devices, one, ended)))

    return parts.stream(by, job, do, cancellable=cancellable)


def devices_text(devices: Sequence[Device]) -> str:
    shown = names_text(device_names(devices))
    return f"{len(devices)} devices ({shown})" if len(devices) > 1 else shown


async def having(parts: HostParts, chosen: Selected, app: str, *, stopped: bool | None = None) -> Selected:
    """Of devices that nobody named, those that have the program; what is wanted on one that is away counts, too.

    `stopped` chooses those where it can be started (stopped, or ended), or those where it is not stopped.
    """
    listed = [found for found in await parts.apps.catalogue.list_apps() if found.name == app]
    if stopped is not None:
        listed = [found for found in listed if found.condition in (_TO_START if stopped else _TO_STOP)]
    there = {found.device_id for found in listed}
    meant = tuple(device for device in chosen.devices if device.device_id in there)
    if not meant:
        what = {None: "on", True: "stopped on", False: "running on"}[stopped]
        raise AppNotFound(f"{app!r} is {what} none of {len(chosen.devices)} devices", next_step="microclaw app list")
    others = tuple(device.name for device in chosen.devices if device not in meant)
    return Selected(meant, (*chosen.left_out, *others))


def device_names(devices: Sequence[Device]) -> list[str]:
    return [device.name for device in devices]


def outcome_step(outcome: BoardOutcome[T], done: str) -> Step:
    if outcome.error is None:
        return Step("deploy", f"{outcome.device_name}: {done}")
    error = outcome.error
    return Step("deploy", f"{outcome.device_name}: {error.message}", "failed", next_step=error.next_step)


def outcome_text(value: dict[str, Any]) -> str:
    """The evidence, or that it waits for the device, or that there was nothing to do."""
    if "deferred" in value:
        return DEFERRED
    if "unchanged" in value:
        return str(value["text"])
    times = value.get("times")
    return f"{value['evidence']['text']}{'; ' + times['text'] if times else ''}"


def results_object(chosen: Selected, outcomes: Sequence[BoardOutcome[dict[str, Any]]]) -> dict[str, Any]:
    """`results` has one object a device: its name, and `made` or `error`."""
    rows = [
        {"device": one.device_name, "made": one.value}
        if one.error is None
        else {"device": one.device_name, "error": failure_object(failure_of(one.error))}
        for one in outcomes
    ]
    failed = sum("error" in row for row in rows)
    return {"results": rows, "failed": failed, "left_out": list(chosen.left_out)}
