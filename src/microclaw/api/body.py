"""The base of every request's JSON body. It reads no request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class RequestBody(BaseModel):
    """A field that the route does not know is refused."""

    model_config = ConfigDict(extra="forbid")
