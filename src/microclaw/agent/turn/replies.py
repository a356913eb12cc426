"""The end of a model's reply: calls that are not run, and replies without an answer. It runs nothing.

A reply can end at a limit of tokens, at its provider's filter, or after thoughts without an answer. It can hold more
calls than may run, or a call that is written as text. The model gets the errors of its calls, the person gets the error
of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from microclaw.agent.models.protocol import ModelReply, ReplyEnd, UserText
from microclaw.agent.models.reply_text import plain_name, written_call
from microclaw.agent.turn.toolbox import EndedError
from microclaw.errors import ToolRetry
from microclaw.host.operations.tool import result_of_error

NO_TRY_LEFT: Final = result_of_error(ToolRetry("not run: no try is left in this turn")).content
"""The result of a deployment after the last broken program of a turn."""
_CALL_TOOLS: Final = "microclaw setup, or name a model that can call tools in MICROCLAW_MODEL"
_SHORTER: Final = "make it shorter, or in parts"

_ANSWER_NOTES: Final[dict[ReplyEnd, str]] = {
    "length": " … (cut off: the answer came to the limit of its tokens)",
    "filter": " … (cut off: by the provider's filter)",
}


def refusal_of_call(reply: ModelReply, index: int, most: int) -> str | None:
    """Return the result of a call that is not run, or None if the call may run.

    Only the first `most` calls of a reply run. If the reply was cut, its last call may be incomplete, even if its JSON
    is valid.
    """
    if index >= most:
        error = ToolRetry(f"not run: at most {most} calls in one reply", next_step="call it again in your next reply")
        return result_of_error(error).content
    is_last = index == len(reply.calls) - 1
    if not is_last or reply.end not in _ANSWER_NOTES:
        return None
    if reply.end == "filter":
        error = ToolRetry("not run: your provider's filter cut your call", next_step="say it in other words")
    else:
        error = ToolRetry(f"not run: your call was cut {_cut_place(reply)}", next_step=_SHORTER)
    return result_of_error(error).content


def answer_text(reply: ModelReply, model: str) -> str:
    """Return the answer's text, with a note if it was cut. Raises EndedError if the reply has no text."""
    if reply.text.strip():
        note = _ANSWER_NOTES.get(reply.end)
        if note is None:
            return reply.text
        return reply.text.rstrip() + note
    text = f"{model} answered nothing"
    next_step = "ask again, or choose another model with MICROCLAW_MODEL"
    if reply.end == "thoughts":
        text = f"{model} thought, but gave no answer{_thought_tokens(reply)}"
        next_step = "ask again, or: microclaw config set agent.answer_tokens N, with a larger N"
    elif reply.end == "length":
        text = f"{model} gave no answer: it was cut {_cut_place(reply)}"
        next_step = "microclaw config set agent.answer_tokens N, with a larger N"
    elif reply.end == "filter":
        text = f"{model} gave no answer: its provider's filter stopped it"
        next_step = "say it in other words, or choose another model with MICROCLAW_MODEL"
    raise EndedError(text, "model_error", next_step)


def call_instead_of_text(reply: ModelReply, tool_names: Iterable[str]) -> UserText | None:
    """Return a message for the model if it wrote a call as text, else None."""
    name = written_call(reply.text, frozenset(map(plain_name, tool_names)))
    if name is None:
        return None
    return UserText(f"(From the host: nothing was done. Call the tool {name}; do not write the call as text.)")


def no_tool_caller(model: str) -> EndedError:
    """Build the error of a model that wrote its calls as text again."""
    return EndedError(f"{model} does not call tools: it writes calls as text", "model_error", _CALL_TOOLS)


def _cut_place(reply: ModelReply) -> str:
    count = reply.usage.output_tokens
    if count:
        return f"at {count:,} tokens"
    return "at the limit of its tokens"


def _thought_tokens(reply: ModelReply) -> str:
    count = reply.usage.output_tokens
    if count:
        return f": {count:,} tokens were thoughts"
    return ""
