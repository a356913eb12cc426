"""What a host does for people: the agent's tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject

if TYPE_CHECKING:
    pass


class Tools(Group):
    """`client.tools`: what a model may call, called by a program."""

    def list(self) -> Rows[JsonObject]:
        """Every tool: `name`, `description`, `schema` of its arguments, `permission`, `effect`."""
        return rows(self._host.get("/v1/tools"), "tools")

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        device: str | None = None,
        session: str | None = None,
        foreign: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """`ok`, `content`, `evidence`; where it failed, `error` and `next`.

        `session` groups calls of one conversation; `foreign`: the request comes from untrusted text, so acts ask.
        """
        body = given(arguments=dict(arguments or {}), device=device, session=session, foreign=foreign or None)
        return self._act(f"/v1/tools/{segment(name)}", body, watch=watch, within_s=within_s)
