"""What every request's JSON body and query have in common. It reads no body."""

from __future__ import annotations

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from microclaw.api.failures import is_openai


class RequestBody(BaseModel):
    """A field that the route does not know is refused; so are a text or true in place of a number, and NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


async def known_query(request: Request) -> None:
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
