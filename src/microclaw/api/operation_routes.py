"""The routes of the declared acts (operations/): a request's values, its admission, its result as JSON or its steps.

On many devices an act has one question for all, and an outcome for each: what fails on one leaves the others alone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from microclaw.api.by_hand import Asked, load_by_hand, unless_left
from microclaw.api.caller import CALLER_KEY, CHANNEL, NOBODY, Caller, caller_of
from microclaw.api.jobs import Feed, Jobs, questions_in
from microclaw.api.waiting import WaitingRequests
from microclaw.apps.change_log import Maker, made_by
from microclaw.apps.queues import BoardOutcome, SharedStages, on_each
from microclaw.audit.event import AuditKind
from microclaw.auth.admission import Admission
from microclaw.auth.gate import Gate
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.selection import Selection, names_text, select
from microclaw.errors import PermissionRefused
from microclaw.events import AskedProgram, Step
from microclaw.operations.operation import Access, Approve, Call, Effect, Operation, Permission, fault, load
from microclaw.operations.result import OnDevice, OnMany
from microclaw.operations.result import Result as Made
from microclaw.validation import check_letters, read_object
from microclaw.wire.host_api import Result, failure_object, failure_of

_JSON: Final = "application/json"
_JSON_KIND: Final = re.compile(r"application/(json|.*\+json)")


class RouteParts(Struct, frozen=True):
    """`services` are what the acts and the routes by hand work with, by noun."""

    services: Mapping[str, Any]
    admission: Admission
    devices: Registry
    jobs: Jobs
    requests: WaitingRequests


def operation_routes(parts: RouteParts) -> list[Route]:
    """A route for each act that has one, and one for many devices where it takes these."""
    declared = [one for act in load() for one in (act, act.of_many) if one.http is not None]
    return [Route(one.path, partial(_answer, parts, one), methods=[one.method], name=one.name) for one in declared]


def by_hand_routes(services: Mapping[str, Any]) -> list[Route]:
    """The routes of api.by_hand of these nouns."""
    declared = [one for one in load_by_hand() if one.noun in services]
    return [
        Route(one.path, partial(_answer_by_hand, services[one.noun], one), methods=[one.method], name=one.name)
        for one in declared
    ]


async def _answer_by_hand(service: Any, act: Operation[..., Any], request: Request) -> Response:
    if act.least is Access.OPEN and CALLER_KEY not in request.scope:
        by = NOBODY
    else:
        by = caller_of(request)
    run: Callable[..., Awaitable[Any]] = act.run
    made = await run(service, Asked(request, by), **await _values(act, request))
    if isinstance(made, Response):
        return made
    return Response(msgspec.json.encode(made), act.status, media_type=_JSON)


async def _answer(parts: RouteParts, act: Operation[..., Any], request: Request) -> Response:
    by = caller_of(request)
    values = await _values(act, request)
    chosen: Sequence[Device] = ()
    left_out: list[str] = []
    shown = values
    if act.on_many:
        names, labels, every = (values.pop(name) for name in ("devices", "labels", "all"))
        found = select(parts.devices, Selection(tuple(names), tuple(labels), every), act.offers.format_map(values))
        chosen = found.devices
        left_out = list(found.left_out)
        if act.among is not None and not names:
            chosen = await act.among(parts.services[act.noun], chosen, **values)
            left_out += [one.name for one in found.devices if one not in chosen]
        shown = values | {"device": _devices_text(chosen)}
    elif values.get("device") is not None and ("device" in act.in_path or act.steps):
        device = parts.devices.get(values["device"])
        shown, values["device"] = values | {"device": device.name}, device.device_id
    action = act.asked(shown)
    _check_rights(parts.admission.gate, act, by, action)

    async def work(feed: Feed | None) -> Any:
        with ExitStack() as stack:
            call = _call(parts, act, by, values, feed, stack)
            if act.on_many or ((act.asks or act.permission is Permission.RISKY) and not act.previews):
                needs = await _needs(parts, act, call, chosen, values)
                await call.approve(action, [*(one.name for one in chosen), *_shown(act, values)], None, needs)
            if act.on_many:
                granted = replace(call, asks=False, approve=partial(_granted, call.approve, needs))
                return await _on_each(parts, act, granted, chosen, left_out, values)
            return await act.run(parts.services[act.noun], call, **values)

    if act.steps:

        async def job(feed: Feed) -> Result:
            return Result(msgspec.to_builtins(await work(feed)))

        return parts.jobs.stream(by, action, job, cancellable=act.cancellable)

    async def answer() -> Response:
        result = await work(None)
        if act.place is None:
            headers = {}
        else:
            headers = {"Location": act.place.format_map(result)}
        return Response(msgspec.json.encode(result), act.status, headers, media_type=_JSON)

    if act.does is Effect.READ and act.method != "GET":
        return await unless_left(request, answer())
    if act.method == "GET" or by.direct:
        return await answer()
    return await parts.requests.answer(request, by, parts.admission.approvals, answer())


def _check_rights(gate: Gate, act: Operation[..., Any], by: Caller, action: str) -> None:
    """Raise PermissionRefused. What outlives a token, or reaches any file here, is an owner's on the control socket."""
    gate.check(by.person_id, act.permission, action)
    if act.least in (Access.OWN, Access.SOCKET):
        gate.check_owner(by.person_id, action)
    if act.least is Access.SOCKET and not by.direct:
        gate.note(AuditKind.TOKEN_MISUSED, f"no token may {action}", by.person_id, about=by.source)
        raise PermissionRefused(f"no token may {action}", next_step="do it on the host's own command line")


def _call(
    parts: RouteParts,
    act: Operation[..., Any],
    by: Caller,
    values: Mapping[str, Any],
    feed: Feed | None,
    stack: ExitStack,
) -> Call:
    """The caller. Inside the `stack` the feed gets the questions, and changes are the request's."""
    # what the command line starts reports to the terminal's chat
    channel, chat_id = ("terminal", "terminal") if by.direct else (CHANNEL, by.source)
    place = f"{by.source}.{secrets.token_hex(4)}"  # this one request's
    asks_in = by.job if feed is None else place
    # of a call the security log names the method
    device = values.get("device")
    tool = values.get("method", "")

    async def approve(
        text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
    ) -> None:
        gate = parts.admission.gate
        needs = needs or act.permission
        if by.direct:  # a command on this machine is its own approval
            gate.check(by.person_id, needs, text)
        else:
            await gate.admit(
                by.person_id, needs, text, detail=detail, channel=CHANNEL, chat_id=asks_in, tool=tool, program=program
            )

    stack.enter_context(made_by(Maker(place, by.person_id, by.conversation)))
    if feed is None:
        return Call(by.person_id, lambda _step: None, device, channel, chat_id, approve, by.direct, not by.direct)
    stack.enter_context(questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place))
    return Call(by.person_id, feed.put, device, channel, chat_id, approve, by.direct, not by.direct, feed.begin)


async def _needs(
    parts: RouteParts, act: Operation[..., Any], call: Call, devices: Sequence[Device], values: Mapping[str, Any]
) -> Permission:
    """The permission for these values; on many devices the heaviest, as a device that cannot say may need it."""
    if act.before is None or not call.asks:
        return act.permission
    weigh = partial(act.before, parts.services[act.noun], call, **values)
    if not act.on_many:
        return await weigh() or act.permission
    found = await on_each(devices, lambda one: weigh(device=one.device_id))
    if any(one.error is not None for one in found):
        return Permission.RISKY
    return max((one.value or act.permission for one in found), key=list(Permission).index, default=act.permission)


async def _granted(
    approve: Approve,
    asked: Permission,
    text: str,
    detail: Sequence[str],
    program: AskedProgram | None = None,
    needs: Permission | None = None,
) -> None:
    """Note that it was asked once for all of the devices; of one that turns out to need more it is asked again."""
    if needs is Permission.RISKY and asked is not Permission.RISKY:
        await approve(text, detail, program, needs)


async def _on_each(
    parts: RouteParts,
    act: Operation[..., Any],
    call: Call,
    devices: Sequence[Device],
    left_out: list[str],
    values: Mapping[str, Any],
) -> OnMany[Any]:
    stages = SharedStages(call.report)

    async def one(device: Device) -> Any:
        of_it = replace(call, device=device.device_id, report=partial(stages.show, device.name))
        return await act.run(parts.services[act.noun], of_it, **values, device=device.device_id)

    outcomes = await on_each(devices, one, lambda outcome: call.report(_step(outcome)))
    rows = [
        OnDevice(device=one.device_name, made=one.value)
        if one.error is None
        else OnDevice(device=one.device_name, error=failure_object(failure_of(one.error)))
        for one in outcomes
    ]
    failed = sum(one.error is not None for one in outcomes)
    return OnMany(results=rows, failed=failed, left_out=left_out)


def _step(outcome: BoardOutcome[Any]) -> Step:
    if outcome.error is not None:
        step = outcome.error.next_step
        return Step("deploy", f"{outcome.device_name}: {outcome.error.message}", "failed", next_step=step)
    made = cast("Made", outcome.value)
    told = f"{outcome.device_name}: {made.told}"
    if made.exit_code:
        return Step("verify", told, "failed")
    return Step("deploy", told)


def _shown(act: Operation[..., Any], values: Mapping[str, Any]) -> list[str]:
    """The values that the question about many devices shows: the arguments of a call."""
    if act.shows is None:
        given = {}
    else:
        given = values[act.shows]
    if given and values.get("force"):
        forced = ["force: also where a program has the pin"]
    else:
        forced = []
    return [*(f"{name}: {value!r:.200}" for name, value in given.items()), *forced]


def _devices_text(devices: Sequence[Device]) -> str:
    shown = names_text([one.name for one in devices])
    if len(devices) > 1:
        return f"{len(devices)} devices ({shown})"
    return shown


async def _values(act: Operation[..., Any], request: Request) -> dict[str, Any]:
    """The act's values, from path, query and body. HTTPException 415 refuses a body that does not say that it is JSON,
    422 names the first value that is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON_KIND.fullmatch(kind) and await request.body():
        if kind:
            text = f"is {kind[:60]}, and JSON is read here"
        else:
            text = "does not say what it is"
        raise HTTPException(415, f"the body {text}")
    texts: dict[str, Any] = dict(request.path_params)
    # OpenAI's clients send some of other services, and browsers and probes any to a page
    query = request.query_params if act.path.startswith("/v1/") and act.noun != "openai" else {}
    for name in query:
        given = request.query_params.getlist(name)
        if name in texts or (len(given) > 1 and name not in act.lists):
            raise HTTPException(422, f"{name}: it is there more than once")
        texts[name] = given if name in act.lists else given[0]
    body: Any = {}
    content = ""
    if act.has_body and act.reads is None and (raw := await request.body()):
        try:
            content = raw.decode()
            body = read_object(content)
        except (ValueError, RecursionError) as exc:
            raise HTTPException(422, f"the body is no JSON: {exc}") from exc
    try:
        if act.noun != "signin":  # a password may be any text
            check_letters(body, content)
        found = msgspec.convert(texts, act.texts, strict=False), msgspec.convert(body, act.body)
    except msgspec.ValidationError as exc:
        raise HTTPException(422, fault(exc)) from exc
    except UnicodeEncodeError as exc:  # half of a surrogate pair, which JSON can carry
        raise HTTPException(422, f"a text is no Unicode: {exc.reason}") from exc
    return asdict(found[0]) | asdict(found[1])
