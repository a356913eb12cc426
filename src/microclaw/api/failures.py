"""Errors as HTTP answers: one JSON form, a status for each code. It raises nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.access import methods_at
from microclaw.errors import MicroclawError, Overloaded
from microclaw.wire.host_api import Failure, failure_object, failure_of

_log = logging.getLogger(__name__)

_CODES: Final = {  # of errors (errors.py), by the status that they are answered with
    400: "config_error empty_message schedule_refused",
    403: "permission_refused",
    404: "unknown_name app_not_found",
    409: "app_exists too_many_apps deploy_rejected not_supported pin_claimed undo_elsewhere blob_refused",
    413: "image_too_large message_too_long",
    422: (
        "build_error trial_failed expectation_not_met pin_refused invalid_module tool_retry tool_failed task_refused "
        "backup_error not_a_backup backup_newer backup_locked backup_cut backup_damaged"
    ),
    429: "budget_spent",
    500: "store_error store_missing store_owned failed",
    502: (
        "device_error call_rejected device_lied protocol_error model_error device_unreachable "
        "install_interrupted link_violation undo_incomplete boards_failed broker_error"
    ),
    503: "no_sandbox overloaded voice_error store_unreachable store_unwritable taken_over newer_connection",
    504: "device_timeout device_silent outcome_unknown boards_unknown",
}
STATUS_BY_CODE: Final = {code: status for status, codes in _CODES.items() for code in codes.split()}
UNSUPPORTED: Final = "unsupported_media_type"
_CODE_BY_STATUS: Final = {
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    415: UNSUPPORTED,
}
PATH_KEY: Final = "microclaw.ingress_path"
"""Of a request's scope: the path that the browser has this host at, where it is not the root (api.ingress)."""
_NEXT_BY_STATUS: Final = {
    415: "send Content-Type: application/json",
    422: "correct that value; the form of every request is in /api/openapi.json",
}


def failure_response(failure: Failure, status: int | None = None, *, path: str = "") -> JSONResponse:
    """In the form that the clients of this path read; `status` None: the code's own."""
    if status is None:
        found = STATUS_BY_CODE.get(failure.code, 500)
    else:
        found = status
    if not is_openai(path):
        return JSONResponse({"error": failure_object(failure)}, status_code=found, headers=retry_headers(found))
    if failure.next_step is None:
        text = failure.message
    else:
        text = f"{failure.message} (next: {failure.next_step})"
    return openai_error(found, text, code="invalid_api_key" if found == 401 else failure.code)


RETRY_AFTER_S: Final = {429: 60, 503: 5}
"""When a client may try again: a budget, or too many wrong tokens; no room."""


def retry_headers(status: int) -> dict[str, str]:
    if status in RETRY_AFTER_S:
        return {"Retry-After": str(RETRY_AFTER_S[status])}
    return {}


DRAIN_BYTES: Final = 16 << 20
DRAIN_S: Final = 2.0


class Refused(Exception):
    """A request that goes no further: it is answered with this before its body is read, and the connection ends."""

    def __init__(
        self, status: int, code: str, text: str, next_step: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self._status, self._failure = status, Failure(code, text, next_step)
        self._headers = {"Connection": "close", **(headers or {})}

    def response(self, path: str = "") -> Response:
        made = failure_response(self._failure, self._status, path=path)
        made.headers.update(self._headers)
        return made

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then read on for a moment: a client that is still sending would lose the answer when we close."""
        response = self.response(scope["path"])
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        left = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while left > 0 and (message := await receive()).get("more_body", False):
                    left -= len(message.get("body", b""))
        await send({"type": "http.response.body", "body": b""})


# On every answer: it is what it says it is, no page of others frames it, and it tells no other site where it was.
ANSWER_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",  # these two where it has none of its own
    "cache-control": "no-store",
}


class AnswersInForm:
    """ASGI, the outermost: what fails behind it is answered in the one form of errors, and so is a request that still
    waits when the host's end cuts it off. Every answer has ANSWER_HEADERS."""

    def __init__(self, app: ASGIApp, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=[*message.get("headers", ())])
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
                message = {**message, "headers": headers.raw}
            await send(message)

        try:
            await self._app({**scope, "app": self}, receive, sending)  # with an app Starlette's router raises its 404
        except asyncio.CancelledError:
            if has_begun or not self._is_stopping():
                raise
            stopping = Overloaded("the host is stopping", next_step="ask again when it is back: microclaw up")
            await error_response(stopping, scope)(scope, receive, sending)
        except Exception as exc:
            if has_begun:
                raise
            if isinstance(exc, Refused):
                await exc.answer(scope, receive, sending)
            else:
                await error_response(exc, scope)(scope, receive, sending)


def error_response(error: Exception, scope: Scope) -> Response:
    path = scope["path"]
    if isinstance(error, MicroclawError):
        return failure_response(failure_of(error), path=path)
    if not isinstance(error, HTTPException):
        _log.error("%s failed", path, exc_info=error)
        return failure_response(unexpected(error), path=path)
    status = error.status_code
    message = str(error.detail)
    if status in (404, 405):
        message = f"{message}: {scope['method']} {path[:100]}"
    step = _NEXT_BY_STATUS.get(status, "see /api/openapi.json")
    code = _CODE_BY_STATUS.get(status, "bad_request")
    response = failure_response(Failure(code, message, step, exit_code=2 if status == 422 else 1), status, path=path)
    response.headers.update(error.headers or {})
    if status == 405 and (methods := methods_at(path)):  # the framework knows those of one route alone
        response.headers["Allow"] = ", ".join(methods)
    return response


def unexpected(error: BaseException) -> Failure:
    """An error of ours, without internal details."""
    return Failure("internal_error", f"unexpected {type(error).__name__}", "the traceback is in the host's log")


def is_openai(path: str) -> bool:
    """True if OpenAI's clients ask for this path, so that errors there have OpenAI's form."""
    return path in ("/v1/chat/completions", "/v1/models") or path.startswith("/v1/models/")


_TYPES: Final = {  # others below 500 are the request's
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class OpenAIFault(Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Struct, frozen=True):
    """An error in OpenAI's form."""

    error: OpenAIFault


class Error(Struct, frozen=True):
    """An error, with every status of 400 and above."""

    error: Failure


def openai_fault(status: int, message: str, *, code: str | None = None, param: str | None = None) -> OpenAIError:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return OpenAIError(OpenAIFault(message, kind, param, code))


def openai_error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> JSONResponse:
    made = msgspec.to_builtins(openai_fault(status, message, code=code, param=param))
    return JSONResponse(made, status_code=status, headers=retry_headers(status))
