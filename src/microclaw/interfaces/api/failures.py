"""Errors as HTTP answers: one JSON form, a status for each code. It raises nothing itself."""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.errors import MicroclawError, Overloaded
from microclaw.interfaces.api.access import methods_at
from microclaw.wire.host_api import PROGRAM_PAGES, StreamFailure, failure_object, failure_of

_log = logging.getLogger(__name__)

# The codes of errors (errors.py) by the status of their answers.
_CODES: Final = {
    400: "config_error empty_message schedule_refused",
    403: "permission_refused",
    404: "unknown_name app_not_found",
    409: "app_exists too_many_apps deploy_rejected not_supported pin_claimed pin_caution undo_elsewhere blob_refused "
    "already_answered",
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
STATUS_BY_CODE: Final[dict[str, int]] = {}
for _status, _codes in _CODES.items():
    STATUS_BY_CODE.update(dict.fromkeys(_codes.split(), _status))
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
"""Key of a request's scope: the path of this host for the browser, if it is not the root (api.ingress)."""
# A program's page has no origin of this host (page_answer.py), but has to read the answers to its own calls.
PAGE_HEADERS: Final = {
    "access-control-allow-origin": "null",
    "cross-origin-resource-policy": "cross-origin",
}
_NEXT_BY_STATUS: Final = {
    415: "send Content-Type: application/json",
    422: "correct that value; the form of every request is in /api/openapi.json",
}


def failure_response(failure: StreamFailure, status: int | None = None, *, path: str = "") -> Response:
    """Return the error in the form that the clients of this path read; `status` None is the code's own."""
    if status is None:
        status = STATUS_BY_CODE.get(failure.code, 500)
    if path.startswith(PROGRAM_PAGES):
        return HTMLResponse(_error_page(failure, status), status, headers=PAGE_HEADERS | retry_headers(status))
    if not is_openai(path):
        return JSONResponse({"error": failure_object(failure)}, status_code=status, headers=retry_headers(status))
    text = failure.message
    if failure.next_step is not None:
        text += f" (next: {failure.next_step})"
    code = "invalid_api_key" if status == 401 else failure.code
    return openai_error(status, text, code=code)


def _error_page(failure: StreamFailure, status: int) -> str:
    message = html.escape(failure.message)
    step = html.escape(failure.next_step or "")
    if status == 401:
        step = '<a href="/signin">sign in</a>, then open this address again'
    return f"<!DOCTYPE html><html lang=en><title>{status}</title><h1>{status}</h1><p>{message}</p><p>{step}</p></html>"


RETRY_AFTER_S: Final = {429: 60, 503: 5}
"""Seconds after which a client may try again: 429 for a budget or too many wrong tokens, 503 for no room."""


def retry_headers(status: int) -> dict[str, str]:
    if status in RETRY_AFTER_S:
        return {"Retry-After": str(RETRY_AFTER_S[status])}
    return {}


DRAIN_BYTES: Final = 16 << 20
DRAIN_S: Final = 2.0


class Refused(Exception):
    """A request that is refused before its body is read: it is answered with this error, and the connection ends."""

    def __init__(
        self, status: int, code: str, text: str, next_step: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self._status = status
        self._failure = StreamFailure(code, text, next_step)
        self._headers = {"Connection": "close", **(headers or {})}

    def response(self, path: str = "") -> Response:
        response = failure_response(self._failure, self._status, path=path)
        response.headers.update(self._headers)
        return response

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then read for a moment: a client that is still sending would lose the answer when we close."""
        response = self.response(scope["path"])
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        left_bytes = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while left_bytes > 0 and (message := await receive()).get("more_body", False):
                    left_bytes -= len(message.get("body", b""))
        await send({"type": "http.response.body", "body": b""})


# On every answer: browsers trust its type, no other page frames it, and no other site learns its address.
ANSWER_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    # An answer may have its own values of these two.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


class AnswersInForm:
    """The outermost ASGI app: each error behind it is answered in the one form of errors.

    So is a request that still waits when the host stops. Every answer has ANSWER_HEADERS.
    """

    def __init__(self, app: ASGIApp, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._app = app
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=[*message.get("headers", ())])
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
                message = {**message, "headers": headers.raw}
            await send(message)

        try:
            # With an "app" in the scope, Starlette's router raises its 404.
            await self._app({**scope, "app": self}, receive, send_with_headers)
        except asyncio.CancelledError:
            if has_begun or not self._is_stopping():
                raise
            stopping = Overloaded("the host is stopping", next_step="ask again when it is back: microclaw up")
            await error_response(stopping, scope)(scope, receive, send_with_headers)
        except Exception as exc:
            if has_begun:
                raise
            if isinstance(exc, Refused):
                await exc.answer(scope, receive, send_with_headers)
            else:
                await error_response(exc, scope)(scope, receive, send_with_headers)


def error_response(error: Exception, scope: Scope) -> Response:
    """Return the answer to an error; logs it if it is a fault of the host."""
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
    response = failure_response(
        StreamFailure(code, message, step, exit_code=2 if status == 422 else 1), status, path=path
    )
    response.headers.update(error.headers or {})
    if status == 405:
        # The framework knows only the methods of one route.
        methods = methods_at(path)
        if methods:
            response.headers["Allow"] = ", ".join(methods)
    return response


def unexpected(error: BaseException) -> StreamFailure:
    """Return a fault of the host as an error without internal details."""
    return StreamFailure("internal_error", f"unexpected {type(error).__name__}", "the traceback is in the host's log")


def is_openai(path: str) -> bool:
    """Return True if OpenAI's clients use this path, so that its errors have OpenAI's form."""
    return path in ("/v1/chat/completions", "/v1/models") or path.startswith("/v1/models/")


# Any other status below 500 is an invalid request.
_TYPES: Final = {
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
    """The form of an error, with every status of 400 and above."""

    error: StreamFailure


def openai_fault(status: int, message: str, *, code: str | None = None, param: str | None = None) -> OpenAIError:
    """Return an error in OpenAI's form, with its type for the status."""
    default = "invalid_request_error" if status < 500 else "server_error"
    kind = _TYPES.get(status, default)
    return OpenAIError(OpenAIFault(message, kind, param, code))


def openai_error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> JSONResponse:
    content = msgspec.to_builtins(openai_fault(status, message, code=code, param=param))
    return JSONResponse(content, status_code=status, headers=retry_headers(status))
