"""Orders that were sent long before their turn: none is done, and one question asks about all orders of a chat.

The journal of a turn refuses the first act of an old message (`events.OLD_S`). The question is an approval, which
every channel shows; after a yes the orders come into the inbox again, in their order and as if they were sent now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from microclaw.agent.turn.inbox import Inbox
from microclaw.errors import MicroclawError, PermissionRefused
from microclaw.host.auth.approvals import Approvals
from microclaw.host.store.inbox import InboxMessage
from microclaw.text import clean_text, count_text, moment_text

# Of one order: the question shows all of it.
MAX_CHARS: Final = 400
# Of one question.
MAX_ORDERS: Final = 100
_log = logging.getLogger(__name__)

# Channel, chat and person.
_Asker = tuple[str, str, str]


@dataclass(eq=False, slots=True)
class OldOrders:
    """The old orders that wait for their question, which is asked when no further order came for `settle_s`."""

    inbox: Inbox
    approvals: Approvals
    settle_s: float
    _waiting: dict[_Asker, list[InboxMessage]] = field(default_factory=dict)

    def asks_about(self, order: InboxMessage) -> bool:
        """Return True if a person wrote the order, and the question can show all of it."""
        inbound = order.inbound
        if inbound.origin not in ("person", "forwarded") or inbound.attachments:
            return False
        return len(inbound.text) <= MAX_CHARS and len(self._waiting.get(_asker(order), ())) < MAX_ORDERS

    def add(self, order: InboxMessage) -> _Asker | None:
        """Keep an order for its question. Return the key for `ask` if it is the first, else None."""
        asker = _asker(order)
        is_first = asker not in self._waiting
        self._waiting.setdefault(asker, []).append(order)
        return asker if is_first else None

    async def ask(self, asker: _Asker) -> None:
        """Ask about the orders of a chat when no further order comes, and do them after a yes. It never raises."""
        try:
            await self._ask(asker)
        except PermissionRefused as exc:
            _log.info("old orders are not done: %s", exc.message)
        except Exception:
            _log.exception("old orders of %s failed", "/".join(asker[:2]))

    async def _ask(self, asker: _Asker) -> None:
        channel, chat_id, person_id = asker
        orders = await self._take_when_settled(asker)
        question = f"{count_text(len(orders), 'old order')} since {_moment(orders[0])}: do them"
        lines = [f"{_moment(order)} {_order_text(order)}" for order in orders]
        try:
            await self.approvals.ask(person_id, question, lines, channel=channel, chat_id=chat_id)
            for order in orders:
                await self.inbox.accept(replace(order.inbound, key=None, sent_ms=None), when_full="wait")
        except PermissionRefused:
            raise
        except MicroclawError as exc:
            text = f"{question}: {exc.message}\nnext: look which were done, then say the others again"
            await self.inbox.outbox.push(channel, chat_id, text, person=person_id)

    async def _take_when_settled(self, asker: _Asker) -> Sequence[InboxMessage]:
        """Wait until no order came for `settle_s` and no message of the chat waits; return the orders."""
        channel, chat_id, _ = asker
        orders = self._waiting[asker]
        order_count = 0
        while order_count < len(orders) or self.inbox.waiting(channel, chat_id):
            order_count = len(orders)
            await asyncio.sleep(self.settle_s)
        return self._waiting.pop(asker)


def _asker(order: InboxMessage) -> _Asker:
    return order.inbound.channel, order.inbound.chat_id, order.inbound.person_id


def _moment(order: InboxMessage) -> str:
    """Return the time when an order was sent, to the minute."""
    return moment_text(order.sent_ms).rpartition(":")[0]


def _order_text(order: InboxMessage) -> str:
    return clean_text(order.inbound.text, one_line=True, limit=MAX_CHARS)
