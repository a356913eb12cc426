"""What a host does for people: the agent's tools, code in the sandbox."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.request import MAX_REPLY_BYTES, HostError, segment
from microclaw.wire.host_api import Failure, JsonObject

if TYPE_CHECKING:
    from microclaw.api import answers

_OPEN: Final = ("queued", "running")
_WAIT_S: Final = 20.0  # of one request; the host allows 30


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


class Tasks(Group):
    """`client.tasks`: code in the host's sandbox."""

    def list(self, *, limit: int = 50) -> Rows[answers.TaskFacts]:
        """The newest first."""
        return rows(self._host.get("/v1/tasks", {"limit": limit}), "tasks")

    def run(
        self,
        code: str,
        *,
        language: str = "python",
        files: Mapping[str, bytes] | None = None,
        keep: Sequence[str] = (),
        seconds: float | None = None,
        memory_mb: int | None = None,
        allow: str | None = None,
    ) -> answers.TaskFacts:
        """Begin it; `wait` has its end. `files` go in, those named in `keep` come out; `allow`: its allowlist."""
        content = {name: base64.b64encode(data).decode() for name, data in (files or {}).items()}
        body = given(code=code, language=language, seconds=seconds, memory_mb=memory_mb, allow=allow)
        found = self._host.post("/v1/tasks", {**body, "files": content, "keep": list(keep)})
        return cast("answers.TaskFacts", found)

    def get(self, task: int, *, after: int = 0, wait_s: float = 0.0) -> answers.TaskWithOutput:
        """A task with what it printed from byte `after` on; `wait_s`: wait so long for more."""
        query = {"after": after, "wait_s": wait_s}
        return cast("answers.TaskWithOutput", self._host.get(f"/v1/tasks/{task}", query))

    def wait(self, task: int, within_s: float = 600.0) -> answers.TaskWithOutput:
        """The task when it has ended, with the first page of what it printed. HostError `not_in_time` otherwise."""
        until = time.monotonic() + within_s
        found = self.get(task)
        seen = 0
        while found["state"] in _OPEN:
            left_s = until - time.monotonic()
            if left_s <= 0:
                text = f"task {task} did not end within {within_s:g} s"
                raise HostError(Failure("not_in_time", text, f"it goes on; end it: tasks.cancel({task})"))
            seen = self.get(task, after=seen, wait_s=min(_WAIT_S, left_s))["output_ends"]
            found = self.get(task)
        return found

    def cancel(self, task: int) -> answers.TaskFacts:
        """End it; every process of it is dead when this returns."""
        return cast("answers.TaskFacts", self._host.delete(f"/v1/tasks/{task}"))

    def file(self, task: int, name: str, *, most_bytes: int = MAX_REPLY_BYTES) -> bytes:
        """A file that it left, in memory. HostError `too_large` when it has more than `most_bytes`."""
        path = f"/v1/tasks/{task}/files/{quote(name)}"
        return b"".join(self._host.download(path, method="GET", most_bytes=most_bytes))
