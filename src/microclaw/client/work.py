"""What a host does for people: the agent's tools, and questions that wait for a yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject

if TYPE_CHECKING:
    from microclaw.api import answers


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


class Approvals(Group):
    """`client.approvals`: acts that wait for a person's yes."""

    def list(self) -> Rows[answers.WaitingApproval]:
        return rows(self._host.get("/v1/approvals"), "approvals")

    def get(self, approval_id: str, *, wait_s: float = 0.0) -> answers.Approval:
        """Whether it still waits, or how the act ended; `wait_s`: wait so long for that end."""
        return cast("answers.Approval", self._host.get(f"/v1/approvals/{segment(approval_id)}", {"wait_s": wait_s}))

    def decide(self, approval_id: str, *, approved: bool, wait_s: float = 5.0) -> answers.Approval:
        """Yes or no; the first decision counts. A yes also tells how the act ended within `wait_s`."""
        path = f"/v1/approvals/{segment(approval_id)}?wait_s={wait_s:g}"
        return cast("answers.Approval", self._host.post(path, {"approved": approved}))

    def request(self, number: str) -> JsonObject:
        """What became of a request that was told to wait (202)."""
        return self._host.get(f"/v1/requests/{segment(number)}")
