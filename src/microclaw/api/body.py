"""What every request's JSON body has in common. It reads no body."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request


def with_whole(value: Any, depth: int) -> Any:
    """5.0 is 5 in JSON (RFC 8259, 6): in a body's fields, and in the lists and objects that they are."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list) and depth > 0:
        return [with_whole(one, depth - 1) for one in value]
    if isinstance(value, dict) and depth > 0:
        return {key: with_whole(one, depth - 1) for key, one in value.items()}
    return value


async def check_form(request: Request) -> None:
    """Refuse a body that does not say that it is JSON. Of every route."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not is_json and await request.body():
        text = (
            f"the body is {kind[:60]}, and JSON is read here" if kind else "the request does not say what its body is"
        )
        raise HTTPException(415, text)
