"""An error in the form of OpenAI's API (platform.openai.com/docs/guides/error-codes), which its clients read."""

from __future__ import annotations

from typing import Final

from fastapi.responses import JSONResponse

PATHS: Final = frozenset({"/v1/chat/completions", "/v1/models"})
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def openai_error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> JSONResponse:
    return JSONResponse(error_object(status, message, code=code, param=param), status_code=status)


def error_object(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, object]:
    kind = _TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
