"""The base of every request's JSON body. It reads no request."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Whole: TypeAlias = Annotated[int, Field(gt=-(2**53), lt=2**53)]
"""A whole number that every reader of JSON keeps as it is (RFC 8259, 6)."""


class RequestBody(BaseModel):
    """A field that the route does not know is refused."""

    model_config = ConfigDict(extra="forbid")


ONE_PROGRAM: Final[dict[str, Any]] = {
    "oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("source", "wasm")]
}
"""What the document says of a body that has `source` or `wasm`, exactly one of the two (null is neither)."""
