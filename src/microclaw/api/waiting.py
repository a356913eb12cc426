"""Tells a program at once that its request waits for a person's yes, and keeps the end of that request for it.

The request itself goes on. Streams tell of questions in their lines, and the command line follows its request by the
number that it sent with it: both are left as they are, and so is who says that it waits (RFC 7240, `Prefer: wait`).
When the connection of one who waits ends, its question is withdrawn: nobody would get the answer.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microclaw.api.caller import CALLER_KEY, CHANNEL, Caller, request_number
from microclaw.auth.approvals import ApprovalOutcome, Approvals, ApprovedAct, PendingApproval, approved_act

MAX_KEPT: Final = 256
MAX_BODY_BYTES: Final = 1 << 20
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(slots=True)
class KeptRequest:
    """What became of one request; `status` is None while it waits. A `body` of more than MAX_BODY_BYTES is cut."""

    approval_id: str
    status: int | None = None
    body: bytearray = field(default_factory=bytearray)
    is_over: bool = False

    def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        elif len(self.body) <= MAX_BODY_BYTES:
            self.body += message.get("body", b"")[: MAX_BODY_BYTES + 1 - len(self.body)]


class WaitingRequests:
    """The requests that were told to wait, by token and number; the oldest give way."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptRequest] = {}

    def keep(self, key: str, kept: KeptRequest) -> None:
        while len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept

    def find(self, key: str) -> KeptRequest | None:
        return self._kept.get(key)


def read_answer(body: bytearray) -> Any:
    """JSON, or the text of another answer; None for one that is too long to be kept."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


class TellsWaiting:
    """ASGI: answers 202 with the question and where to look, when what is behind it asks before it answers."""

    def __init__(self, app: ASGIApp, approvals: Approvals, requests: WaitingRequests) -> None:
        self._app = app
        self._approvals = approvals
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER_KEY)
        if not isinstance(caller, Caller) or caller.direct or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_followed = _is_followed(scope)
        caller = replace(caller, request=(is_followed and request_number(scope)) or secrets.token_hex(8))
        asked: asyncio.Queue[PendingApproval] = asyncio.Queue()  # no more than the approvals that there may be

        def hear(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, PendingApproval) and (news.channel, news.chat_id) == (CHANNEL, caller.asks_in()):
                asked.put_nowait(news)

        async def ask() -> None:
            while True:
                pending = await asked.get()
                if not is_followed and not answer.has_begun:
                    await self._tell(scope, receive, send, caller, pending, answer)
                    return
                while (await receive())["type"] != "http.disconnect":  # its body was read: it knows what it asks for
                    pass
                self._approvals.withdraw(pending.approval_id)

        with approved_act() as act:
            answer = _Answer(send, act)
            stop = self._approvals.listen(hear)
            asking = asyncio.create_task(ask(), name="api: questions")
            try:
                await self._app({**scope, CALLER_KEY: caller}, receive, answer.send)
            finally:
                stop()
                if answer.kept is None:
                    asking.cancel()
                else:
                    answer.kept.is_over = True
                await asyncio.wait((asking,))

    async def _tell(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, asked: PendingApproval, answer: _Answer
    ) -> None:
        answer.kept = KeptRequest(asked.approval_id)  # from here on nothing of it goes to the client
        self._requests.keep(caller.job, answer.kept)
        place = f"/v1/requests/{caller.request}"
        told = {
            "state": "waiting",
            "request": caller.request,
            "approval": {
                "approval_id": asked.approval_id,
                "action": asked.action,
                "detail": list(asked.detail),
                "expires_s": asked.expires_s,
                "may_decide": self._approvals.may_decide(asked, caller.person_id),
            },
            "next": f"nothing is done yet: POST /v1/approvals/{asked.approval_id} decides it, GET {place} has the end",
        }
        await JSONResponse(told, 202, {"Location": place})(scope, receive, send)


class _Answer:
    """The answer of what is behind: it goes to the client, or from `kept` on to what is kept for it.

    One that is an error is the end of the act that was asked about.
    """

    def __init__(self, send: Send, act: ApprovedAct) -> None:
        self.has_begun = False
        self.kept: KeptRequest | None = None
        self._send = send
        self._act = act
        self._failed = KeptRequest("")

    async def send(self, message: Message) -> None:
        self._failed.take(message)
        status = self._failed.status or 0
        if status < 400:
            self._failed.body.clear()
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._act.failed(*_reason(read_answer(self._failed.body), status))
        if self.kept is not None:
            self.kept.take(message)
        else:
            self.has_begun = True
            await self._send(message)


def _reason(body: Any, status: int) -> tuple[str, str | None, str | None]:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return f"it was answered with {status}", None, None
    return str(error.get("message", "")), error.get("code"), error.get("next")


def _is_followed(scope: Scope) -> bool:
    """Whether it changes nothing, or its client waits for it or follows it by its number."""
    prefers = b",".join(value for key, value in scope.get("headers", ()) if key == b"prefer").lower()
    waits = any(part.strip().partition(b"=")[0].strip() == b"wait" for part in prefers.split(b","))
    return scope["method"] in _READS or waits or bool(request_number(scope))
