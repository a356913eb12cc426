"""What every request's JSON body and query have in common. It reads no body."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from microclaw.api.failures import is_openai

Whole: TypeAlias = Annotated[int, Field(gt=-(2**53), lt=2**53)]
"""A whole number that every reader of JSON keeps as it is (RFC 8259, 6)."""


class RequestBody(BaseModel):
    """A field that the route does not know is refused; so are a text or true in place of a number, and NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_kind_of_number(cls, value: Any) -> Any:
        return with_whole(value, 2)


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
    """Refuse a body that does not say that it is JSON, and what `_check_query` does. Of every route."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    if not is_json and await request.body():
        text = (
            f"the body is {kind[:60]}, and JSON is read here" if kind else "the request does not say what its body is"
        )
        raise HTTPException(415, text)
    _check_query(request)


def _check_query(request: Request) -> None:
    """Refuse a query parameter that the route does not know. OpenAI's clients send some of other services."""
    route, path = request.scope.get("route"), request.scope["path"]
    if not isinstance(route, APIRoute) or not path.startswith("/v1/") or is_openai(path):
        return
    known = {field.alias for field in get_flat_params(route.dependant) if isinstance(field.field_info, Query)}
    faults = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "unknown", "input": None}
        for name in dict.fromkeys(request.query_params)
        if name not in known
    ]
    if faults:
        raise RequestValidationError(faults)


ONE_PROGRAM: Final[dict[str, Any]] = {
    "oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("source", "wasm")]
}
"""What the document says of a body that has `source` or `wasm`, exactly one of the two (null is neither)."""
