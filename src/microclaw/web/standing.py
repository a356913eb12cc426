"""How channels, schedules, approvals and budget stand, for the status screen. It asks the parts and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol

from microclaw.config import Settings
from microclaw.policy.approval import Pending
from microclaw.policy.person import Roles
from microclaw.store.usage import UsageCount, UsageGroup

SHOWN: Final = 5  # of the schedules that are due next, and of the approvals
PRIVATE: Final = (
    "pid", "home", "problems", "channels", "mcp_servers", "schedules", "approvals", "usage", "model_outages"
)  # fmt: skip
"""Members of the status that only an owner sees: they tell of this machine and of other people's chats."""


class Telegram(Protocol):
    """channels.telegram.poller.TelegramState."""

    @property
    def phase(self) -> str: ...
    @property
    def bot(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...


class GatewayDoor(Protocol):
    """channels.gateway.server.Gateway."""

    @property
    def clients(self) -> int: ...


class Channels(Protocol):
    """app.channels.Channels: `gateway` is its address, `problems` why a configured channel is off."""

    @property
    def telegram(self) -> Telegram | None: ...
    @property
    def gateway(self) -> str | None: ...
    @property
    def clients(self) -> GatewayDoor | None: ...
    @property
    def problems(self) -> Sequence[str]: ...


class Entry(Protocol):
    """knowledge.schedule.entry.Schedule."""

    @property
    def schedule_id(self) -> int: ...
    @property
    def said(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def next_ms(self) -> int | None: ...


class Schedules(Protocol):
    """knowledge.schedule.book.ScheduleBook."""

    def all(self) -> Awaitable[Sequence[Entry]]: ...


class Waiting(Protocol):
    """policy.approval.Approvals."""

    def pending(self) -> Sequence[Pending]: ...


class BoardProcess(Protocol):
    """app.virtual_boards.BoardStanding."""

    @property
    def state(self) -> str: ...
    @property
    def restarts(self) -> int: ...
    @property
    def last_ms(self) -> int | None: ...
    @property
    def reason(self) -> str | None: ...


class Report(Protocol):
    @property
    def today(self) -> UsageCount: ...


class Spent(Protocol):
    """models.ledger.Ledger."""

    def report(self, by: UsageGroup, days: int) -> Awaitable[Report]: ...


def channel_objects(channels: Channels | None, settings: Settings) -> list[dict[str, Any]]:
    """Each channel with its state: `on`, `disturbed`, `connecting`, `off` (not wanted, or `text` says why)."""
    found: list[dict[str, Any]] = []
    telegram = channels.telegram if channels is not None else None
    if telegram is not None:
        state = {"listening": "on"}.get(telegram.phase, telegram.phase)
        name = f"@{telegram.bot.removeprefix('@')}" if telegram.bot else None
        found.append({"name": "telegram", "state": state, "text": telegram.reason or name, "bot": name})
    else:
        found.append(_off("telegram", settings.problems))
    if channels is not None and channels.gateway is not None:
        clients = channels.clients.clients if channels.clients is not None else 0
        found.append({"name": "gateway", "state": "on", "text": channels.gateway, "clients": clients})
    else:
        found.append(_off("the chat gateway", channels.problems if channels is not None else ()))
    return found


def _off(name: str, problems: Sequence[str]) -> dict[str, Any]:
    start = f"{name} is off: "
    reason = next((problem.removeprefix(start) for problem in problems if problem.startswith(start)), None)
    return {"name": name.split()[-1], "state": "off", "text": reason}


def problem_lines(channels: Channels | None, settings: Settings) -> list[str]:
    return [*settings.problems, *(channels.problems if channels is not None else ())]


async def schedule_object(schedules: Schedules | None) -> dict[str, Any] | None:
    """How many there are, and which are due next."""
    if schedules is None:
        return None
    entries = await schedules.all()
    active = sorted(
        ((entry.next_ms, entry) for entry in entries if entry.state == "active" and entry.next_ms is not None),
        key=lambda due: due[0],
    )
    return {
        "active": len(active),
        "paused": sum(entry.state == "paused" for entry in entries),
        "next": [
            {"id": entry.schedule_id, "said": entry.said, "what": entry.what, "next_ms": next_ms}
            for next_ms, entry in active[:SHOWN]
        ],
    }


def approval_object(waiting: Waiting | None, people: Roles) -> dict[str, Any] | None:
    if waiting is None:
        return None
    pending = waiting.pending()
    names = {p.principal: person.name for p in pending[:SHOWN] if (person := people.get(p.principal)) is not None}
    return {
        "pending": len(pending),
        "first": [
            {"id": p.approval_id, "action": p.action, "asked_by": names.get(p.principal, p.principal)}
            for p in pending[:SHOWN]
        ],
    }


def process_object(board: BoardProcess | None) -> dict[str, Any] | None:
    """How a virtual board's process is; None for a device that this host does not run."""
    if board is None:
        return None
    failed = board.state == "failed"
    return {
        "state": board.state,
        "restarts": board.restarts,
        "last_ms": board.last_ms,
        "reason": board.reason,
        "next": "look into the host's log, then start the host again" if failed else None,
    }


async def usage_object(spent: Spent | None, settings: Settings) -> dict[str, Any] | None:
    """What models cost today, and what they may."""
    if spent is None:
        return None
    today, budget = (await spent.report("day", 1)).today, settings.budget
    return {
        "requests": today.requests,
        "tokens": today.tokens,
        "cost_usd": round(today.cost_usd, 6),
        "day_usd": budget.day_usd,
        "day_tokens": budget.day_tokens,
    }
