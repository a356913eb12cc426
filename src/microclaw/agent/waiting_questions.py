"""What a sentence is answered while an act of the same chat waits for a yes or a no. It runs no turn.

Such a sentence is answered at once, with the question, and is not kept: behind the turn that waits, it would seem to be
lost. Only a yes that names the question counts, so that nobody agrees to what they have not been shown here.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.auth.approvals import Approvals, PendingApproval
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import Answer, Inbound

MAX_SHOWN_CHARS: Final = 12_000
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)


class WaitingQuestions:
    """`inbox.answer_at_once = WaitingQuestions(approvals).answer`"""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def answer(self, inbound: Inbound) -> Answer | None:
        """The answer to a person's sentence while a question of its chat waits; None when none does.

        A sentence that names the question decides it.
        """
        here = (inbound.channel, inbound.chat_id)
        waiting = [one for one in self._approvals.pending() if (one.channel, one.chat_id) == here]
        if not waiting or inbound.origin != "person":
            return None
        pending = waiting[0]
        said = _DECISION.fullmatch(inbound.text)
        if said is None or said[2].lower() != pending.approval_id:
            return self._question(pending, inbound.person_id)
        approved = said[1].lower() == "yes"
        if approved and _too_long(pending):
            return self._question(pending, inbound.person_id)
        try:
            self._approvals.decide(pending.approval_id, approved=approved, by=inbound.person_id)
        except (UnknownName, PermissionRefused) as exc:
            return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        return Answer(f"{'Approved' if approved else 'Declined'}: {pending.action}.")

    def _question(self, pending: PendingApproval, person_id: str) -> Answer:
        text = f"A question waits in this chat, and your sentence was not read: {pending.action}?"
        yes, no = f"yes {pending.approval_id}", f"no {pending.approval_id}"
        if _too_long(pending):
            text += "\nWhat would happen is too long to be shown here."
            step = f"microclaw approval list, or: {no}"
        else:
            detail = "\n".join(pending.detail)
            text += f"\n{_FENCE}\n{detail}\n{_FENCE}" if detail else ""
            step = f"answer it with: {yes}, or: {no}"
        if not self._approvals.may_decide(pending, person_id):
            step = f"an owner decides this; to take it back: {no}"
        return Answer(text, error_code="question_waits", next_step=step)


def _too_long(pending: PendingApproval) -> bool:
    """Whether it cannot be shown whole in a chat, where a yes to its beginning would be one to its end."""
    detail = "\n".join(pending.detail)
    return len(detail) > MAX_SHOWN_CHARS or _FENCE in detail
