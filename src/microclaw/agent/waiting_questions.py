"""The answer to a sentence while an act of the same chat waits for a yes or a no. It runs no turn.

A no, or another sentence of who may decide, withdraws the question: nothing is done, and the sentence has its turn.
Only a yes that names the question counts, so that nobody agrees to what they have not been shown here: another yes, and
what others say, is answered at once with the question, and is not kept.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.auth.approvals import ID_CHARS, Approvals, PendingApproval
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import NOTHING_WAITS, Answer, Inbound
from microclaw.text import format_duration

MAX_SHOWN_CHARS: Final = 12_000
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*(yes|yeah|yep|y|no|nope|n)(?:\W+(?:please|do it|do that|go ahead))?\W*", re.IGNORECASE)
_NOTHING: Final = Answer(
    "Nothing waits for a yes in this chat.", error_code=NOTHING_WAITS, next_step="microclaw approval list"
)


def answer_at_once(approvals: Approvals, inbound: Inbound) -> Answer | None:
    """The answer to a yes or no while a question of its chat waits, and to one that names a question which does not
    wait there.

    None: the sentence is for the model.
    """
    if inbound.origin != "person":
        return None
    said, bare = _DECISION.fullmatch(inbound.text), _BARE.fullmatch(inbound.text)
    pending = approvals.pending()
    if not pending and said is None:
        return None
    here = [one for one in pending if (one.channel, one.chat_id) == (inbound.channel, inbound.chat_id)]
    if said is not None:
        named = [one for one in pending if one.approval_id == said[2].lower()]
        if not here:
            return _NOTHING if named or len(said[2]) == ID_CHARS else None
        asked = next((one for one in named if one in here), None)
    else:
        asked = next((one for one in here if one.turn is not None), None)  # a schedule's question holds up nothing
    word = said or bare
    if not here or (word is None and asked is None):
        return None
    approved = word is not None and word[1].lower().startswith("y")
    if asked is None or (approved and (said is None or _too_long(asked))):
        return _question(asked or here[0], approvals, inbound.person_id)
    try:
        approvals.decide(asked.approval_id, approved=approved, by=inbound.person_id, goes_on=word is None)
    except (UnknownName, PermissionRefused) as exc:
        if word is None:
            refused = isinstance(exc, PermissionRefused)
            return _question(asked, approvals, inbound.person_id) if refused else None
        return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
    return None if word is None else Answer(f"{'Approved' if approved else 'Declined'}: {asked.action}.")


def _question(pending: PendingApproval, approvals: Approvals, person_id: str) -> Answer:
    left = format_duration(max(1.0, round(approvals.seconds_left(pending))) * 1000)
    text = f"A question waits in this chat, for {left} more: {pending.action}?"
    yes, no = f"yes {pending.approval_id}", f"no {pending.approval_id}"
    if _too_long(pending):
        text += "\nWhat would happen is too long to be shown here."
        step = f"microclaw approval list, or: {no}"
    else:
        detail = "\n".join(pending.detail)
        text += f"\n{_FENCE}\n{detail}\n{_FENCE}" if detail else ""
        step = f"answer it with: {yes}, or: {no}"
    if not approvals.may_decide(pending, person_id):
        step = f"an owner decides this; to take it back: {no}"
    step = f"{step}; then say your sentence again, or say it in another chat: that is not held up"
    return Answer(text, error_code="question_waits", next_step=step)


def _too_long(pending: PendingApproval) -> bool:
    """True if it cannot be shown whole in a chat, where a yes to its beginning would be one to its end."""
    detail = "\n".join(pending.detail)
    return len(detail) > MAX_SHOWN_CHARS or _FENCE in detail
