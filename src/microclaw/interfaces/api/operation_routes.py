"""The routes of the declared operations: a request's values, its admission, its result as JSON or its steps.

On many devices an operation has one question for all, and an outcome for each: a failure on one does not stop the
others.
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

from microclaw.conversion import convert
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.selection import Selection, names_text, select
from microclaw.errors import PermissionRefused
from microclaw.events import AskedProgram, Step
from microclaw.host.audit.event import AuditKind
from microclaw.host.auth.admission import Admission
from microclaw.host.auth.gate import Gate
from microclaw.host.operations.forms import Steps
from microclaw.host.operations.operation import Access, Effect, Operation, OperationCall, Permission, fault, load
from microclaw.host.operations.result import DeviceResult, OnMany
from microclaw.host.operations.result import Result as Made
from microclaw.host.operations.validation import check_letters, read_object
from microclaw.interfaces.api.caller import CALLER_KEY, CHANNEL, NOBODY, Caller, caller_of
from microclaw.interfaces.api.custom_routes import RouteRequest, cancel_if_client_leaves, load_by_hand
from microclaw.interfaces.api.jobs import Feed, Jobs, questions_in
from microclaw.interfaces.api.pending_requests import WaitingRequests
from microclaw.interfaces.api.program_pages import ProgramPages
from microclaw.programs.changes.change_log import ChangeOrigin, change_origin
from microclaw.programs.changes.many_boards import BoardOutcome, approve_more, run_each, weigh_each
from microclaw.wire.host_api import StreamResult, failure_object, failure_of

_JSON: Final = "application/json"
_JSON_KIND: Final = re.compile(r"application/(json|.*\+json)")


class RouteParts(Struct, frozen=True):
    """The parts that the routes use. `services` are the services of the operations and the routes by hand, by noun."""

    services: Mapping[str, object]
    admission: Admission
    devices: Registry
    jobs: Jobs
    requests: WaitingRequests
    pages: ProgramPages


def operation_routes(parts: RouteParts) -> list[Route]:
    """Return the routes of the operations that are served, and those for many devices."""
    routes = []
    for declared in load():
        if declared.noun not in parts.services:
            continue
        for act in declared.routes:
            routes.append(Route(act.path, partial(_answer, parts, act), methods=[act.method], name=act.name))
    return routes


def by_hand_routes(services: Mapping[str, object]) -> list[Route]:
    """Return the routes of api.by_hand of these nouns."""
    routes = []
    for act in load_by_hand():
        if act.noun in services:
            answer = partial(_answer_by_hand, services[act.noun], act)
            routes.append(Route(act.path, answer, methods=[act.method], name=act.name))
    return routes


async def _answer_by_hand(service: Any, act: Operation[..., Any, Any], request: Request) -> Response:
    if act.least is Access.OPEN and CALLER_KEY not in request.scope:
        by = NOBODY
    else:
        by = caller_of(request)
    run: Callable[..., Awaitable[Any]] = act.run
    result = await run(service, RouteRequest(request, by), **await _values(act, request))
    if isinstance(result, Response):
        return result
    return Response(msgspec.json.encode(result), act.answer.status, media_type=_JSON)


async def _answer(parts: RouteParts, act: Operation[..., Any, Any], request: Request) -> Response:
    by = caller_of(request)
    order = await _read_order(parts, act, by, await _values(act, request))
    _check_rights(parts.admission.gate, act, by, order.action)
    if act.steps:

        async def job(feed: Feed) -> StreamResult:
            return StreamResult(msgspec.to_builtins(await _run(parts, order, feed)))

        return parts.jobs.stream(by, order.action, job, cancellable=act.steps is Steps.CANCELLABLE)
    response = _respond(parts, order)
    if act.does is Effect.READ and act.method != "GET":
        return await cancel_if_client_leaves(request, response)
    if act.method == "GET" or by.direct:
        return await response
    return await parts.requests.answer(request, by, parts.admission.approvals, response)


class _Order(Struct, frozen=True):
    """A request for an operation. `devices` and `left_out` are set only for many devices."""

    act: Operation[..., Any, Any]
    by: Caller
    values: dict[str, Any]
    action: str
    devices: Sequence[Device] = ()
    left_out: Sequence[str] = ()


async def _read_order(parts: RouteParts, act: Operation[..., Any, Any], by: Caller, values: dict[str, Any]) -> _Order:
    if act.on_many:
        return await _read_order_for_many(parts, act, by, values)
    if values.get("device") is None or not ("device" in act.in_path or act.steps):
        return _Order(act, by, values, act.asked(values))
    device = parts.devices.get(values["device"])
    action = act.asked(values | {"device": device.name})
    return _Order(act, by, values | {"device": device.device_id}, action)


async def _read_order_for_many(
    parts: RouteParts, act: Operation[..., Any, Any], by: Caller, values: dict[str, Any]
) -> _Order:
    names = values.pop("devices")
    selection = Selection(tuple(names), tuple(values.pop("labels")), values.pop("all"))
    assert act.many is not None
    selected = select(parts.devices, selection, act.many.offers.format_map(values))
    devices: Sequence[Device] = selected.devices
    left_out = list(selected.left_out)
    if act.many.among is not None and not names:
        devices = await act.many.among(parts.services[act.noun], devices, **values)
        left_out += [device.name for device in selected.devices if device not in devices]
    action = act.asked(values | {"device": _devices_text(devices)})
    return _Order(act, by, values, action, devices, left_out)


async def _respond(parts: RouteParts, order: _Order) -> Response:
    act = order.act
    result = await _run(parts, order, None)
    headers = {}
    if act.answer.place is not None:
        headers["Location"] = act.answer.place.format_map(result)
    return Response(msgspec.json.encode(result), act.answer.status, headers, media_type=_JSON)


async def _run(parts: RouteParts, order: _Order, feed: Feed | None) -> Any:
    """Ask for the approval that is needed before the operation, then run it."""
    act = order.act
    with ExitStack() as stack:
        call = _call(parts, order, feed, stack)
        if not act.on_many and not act.is_asked_before:
            return await act.run(parts.services[act.noun], call, **order.values)
        needs = await _needs(parts, order, call)
        detail = [*(device.name for device in order.devices), *_shown(act, order.values)]
        await call.approve(order.action, detail, None, needs)
        if not act.on_many:
            return await act.run(parts.services[act.noun], call, **order.values)
        approved_call = replace(call, asks=False, approve=approve_more(call.approve, needs, order.action))
        return await _on_each(parts, order, approved_call)


def _check_rights(gate: Gate, act: Operation[..., Any, Any], by: Caller, action: str) -> None:
    """Raise PermissionRefused if the caller may not do this.

    Operations whose result outlives a token, or that read arbitrary files, need an owner on the control socket.
    """
    gate.check(by.person_id, act.permission, action)
    if act.least in (Access.OWN, Access.SOCKET):
        gate.check_owner(by.person_id, action)
    if act.least is Access.SOCKET and not by.direct:
        gate.note(AuditKind.TOKEN_MISUSED, f"no token may {action}", by.person_id, about=by.source)
        raise PermissionRefused(f"no token may {action}", next_step="do it on the host's own command line")


def _call(parts: RouteParts, order: _Order, feed: Feed | None, stack: ExitStack) -> OperationCall:
    """Return the caller. Inside the `stack` the feed gets the questions, and changes belong to the request."""
    by = order.by
    # It is different for each request, so that its questions are only in its own feed.
    place = f"{by.source}.{secrets.token_hex(4)}"
    question_chat = by.job if feed is None else place

    async def approve(
        text: str, detail: Sequence[str], program: AskedProgram | None = None, needs: Permission | None = None
    ) -> None:
        gate = parts.admission.gate
        permission = needs or order.act.permission
        # A command on this machine is its own approval, but it does not name what a program does on the network.
        if by.direct and program is None:
            gate.check(by.person_id, permission, text)
            return
        await gate.admit(
            by.person_id,
            permission,
            text,
            detail=detail,
            channel=CHANNEL,
            chat_id=question_chat,
            # The security log names the method of a call.
            tool=order.values.get("method", ""),
            program=program,
        )

    stack.enter_context(change_origin(ChangeOrigin(place, by.person_id, by.conversation)))
    call = replace(_silent_call(by), device=order.values.get("device"), approve=approve)
    if feed is None:
        return call
    stack.enter_context(questions_in(feed, parts.admission.approvals, channel=CHANNEL, chat_id=place))
    return replace(call, report=feed.put, on_begin=feed.begin)


def _silent_call(by: Caller) -> OperationCall:
    """Return the call of this person, without a report and a way to ask."""
    # Work that the command line starts reports to the terminal's chat.
    return OperationCall(
        by.person_id,
        lambda _step: None,
        channel="terminal" if by.direct else CHANNEL,
        chat_id="terminal" if by.direct else by.source,
        direct=by.direct,
        asks=not by.direct,
        may_defer=True,
    )


async def _needs(parts: RouteParts, order: _Order, call: OperationCall) -> Permission:
    """Return the permission for these values."""
    act = order.act
    if act.before is None or not call.asks:
        return act.permission
    find_permission = partial(act.before, parts.services[act.noun], call, **order.values)
    if act.on_many:
        return await weigh_each(order.devices, lambda device: find_permission(device=device.device_id), act.permission)
    return await find_permission() or act.permission


async def _on_each(parts: RouteParts, order: _Order, call: OperationCall) -> OnMany[Any]:
    act = order.act

    async def run_on(device: Device, device_call: OperationCall) -> Any:
        return await act.run(parts.services[act.noun], device_call, **order.values, device=device.device_id)

    outcomes = await run_each(order.devices, run_on, call, _step)
    rows = list(map(_row, outcomes))
    failed_count = sum(outcome.error is not None for outcome in outcomes)
    return OnMany(results=rows, failed=failed_count, left_out=list(order.left_out))


def _row(outcome: BoardOutcome[Any]) -> DeviceResult[Any]:
    if outcome.error is None:
        return DeviceResult(device=outcome.device_name, made=outcome.value)
    return DeviceResult(device=outcome.device_name, error=failure_object(failure_of(outcome.error)))


def _step(outcome: BoardOutcome[Any]) -> Step:
    if outcome.error is not None:
        step = outcome.error.next_step
        return Step("deploy", f"{outcome.device_name}: {outcome.error.message}", "failed", next_step=step)
    result = cast("Made", outcome.value)
    text = f"{outcome.device_name}: {result.told}"
    if result.exit_code:
        return Step("verify", text, "failed")
    return Step("deploy", text)


def _shown(act: Operation[..., Any, Any], values: Mapping[str, Any]) -> list[str]:
    """Return the values that the question about many devices shows: the arguments of a call."""
    if act.many is None or act.many.shows is None:
        return []
    arguments = values[act.many.shows]
    lines = [f"{name}: {value!r:.200}" for name, value in arguments.items()]
    if arguments and values.get("force"):
        lines.append("force: also if a program has the pin")
    return lines


def _devices_text(devices: Sequence[Device]) -> str:
    names = names_text([device.name for device in devices])
    if len(devices) > 1:
        return f"{len(devices)} devices ({names})"
    return names


async def _values(act: Operation[..., Any, Any], request: Request) -> dict[str, Any]:
    """Return the operation's values from path, query and body.

    Raises HTTPException: 415 for a body that is not declared as JSON, 422 for the first value that is wrong.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _JSON_KIND.fullmatch(kind) and await request.body():
        text = f"is {kind[:60]}, but must be JSON" if kind else "has no Content-Type"
        raise HTTPException(415, f"the body {text}")
    texts = _texts(act, request)
    body: Any = {}
    content = ""
    if act.has_body and act.reads is None:
        raw = await request.body()
        if raw:
            try:
                content = raw.decode()
                body = read_object(content)
            except (ValueError, RecursionError) as exc:
                raise HTTPException(422, f"the body is not JSON: {exc}") from exc
    try:
        # A password may be any text.
        if act.noun != "signin":
            check_letters(body, content)
        return asdict(convert(texts, act.texts, strict=False)) | asdict(convert(body, act.body))
    except msgspec.ValidationError as exc:
        raise HTTPException(422, fault(exc)) from exc
    except UnicodeEncodeError as exc:
        # JSON can contain half of a surrogate pair.
        raise HTTPException(422, f"a text is not Unicode: {exc.reason}") from exc


def _texts(act: Operation[..., Any, Any], request: Request) -> dict[str, Any]:
    """Return the values in the path and the query."""
    texts: dict[str, Any] = dict(request.path_params)
    # OpenAI's clients send parameters of other services, and browsers and probes send any to a page.
    if not act.path.startswith("/v1/") or act.noun == "openai":
        return texts
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name in texts or (len(values) > 1 and name not in act.lists):
            raise HTTPException(422, f"{name}: it is there more than once")
        texts[name] = values if name in act.lists else values[0]
    return texts
