"""The model of one turn for an API's client: calls of its tools end the turn, its form of answer is checked.

It wraps the host's model, so that the turn itself needs to know nothing of an API's clients.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from microclaw.models.protocol import (
    AssistantReply,
    Message,
    Model,
    ModelAround,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    ToolSpec,
    UserText,
)

PASSED_ON: Final = "(Tools of the client are called.)"
"""The text of a turn that ends with calls for the client; it is not shown."""

_MAX_FAULT_CHARS: Final = 300
_AGAIN: Final = "Your answer was not what the form asks for: {fault}. Answer again with the JSON object alone."


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The answer is one JSON object; with a `schema` (JSON text, checked by the caller) one that meets it."""

    schema: str | None = None

    @property
    def instruction(self) -> str:
        text = "Your last answer is one JSON object and nothing else: no word before or after it, no code fence."
        return text if self.schema is None else f"{text} It meets this JSON schema:\n{self.schema}"

    def json_in(self, text: str) -> str:
        """The answer's JSON text, without a code fence around it. Raises ValueError, which says what is wrong."""
        import jsonschema  # type: ignore[import-untyped]  # without stubs

        bare = _without_fence(text.strip())
        value = json.loads(bare)
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
        if self.schema is not None:
            error = next(iter(jsonschema.Draft202012Validator(json.loads(self.schema)).iter_errors(value)), None)
            if error is not None:
                place = "/".join(map(str, error.absolute_path))
                raise ValueError(f"{place}: {error.message}" if place else error.message)
        return bare


@dataclass(frozen=True, slots=True)
class ClientWishes:
    """What a client asks of the model. `after`: calls and results that followed its latest user message."""

    tools: tuple[ToolSpec, ...] = ()
    after: tuple[Message, ...] = ()
    form: AnswerForm | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    one_call: bool = False


class ClientModel(ModelAround):
    """`calls` are what the client shall run, once `ended`; `json` is a checked answer, or `fault` says what it lacks.

    Calls of the host's own tools in the same reply are run first, then the turn ends. `cut`: the last reply came to
    the limit of tokens.
    """

    def __init__(self, model: Model, wishes: ClientWishes, message: UserText) -> None:
        super().__init__(model)
        self.calls: tuple[ToolCall, ...] = ()
        self.ended = False
        self.text = ""
        self.json: str | None = None
        self.fault: str | None = None
        self.cut = False
        self._wishes = wishes
        self._message = message

    async def aclose(self) -> None:
        """The model is the host's."""

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        if self.calls:
            self.ended = True
            return ModelReply(PASSED_ON)
        wishes = self._wishes
        sent = replace(
            request,
            messages=self._with_after(request.messages),
            max_tokens=wishes.max_tokens or request.max_tokens,
            temperature=wishes.temperature,
            top_p=wishes.top_p,
        )
        reply = await self._model.respond(sent, None if wishes.form is not None else on_text)
        theirs = {tool.name for tool in wishes.tools}
        calls = tuple(call for call in reply.calls if call.name in theirs)
        self.calls = calls[:1] if wishes.one_call else calls
        own = tuple(call for call in reply.calls if call.name not in theirs)
        if self.calls:
            self.ended = not own
            return replace(reply, calls=own, text=reply.text or PASSED_ON)
        if wishes.form is not None and not own:
            reply = await self._checked(wishes.form, sent, reply)
        self.cut, self.text = reply.cut, reply.text
        return reply

    def _with_after(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """The request's messages with what followed the client's latest user message in its place."""
        if not self._wishes.after or self._message not in messages:
            return messages
        behind = len(messages) - messages[::-1].index(self._message)
        return (*messages[:behind], *self._wishes.after, *messages[behind:])

    async def _checked(self, form: AnswerForm, sent: ModelRequest, reply: ModelReply) -> ModelReply:
        """The reply in the client's form. A wrong one is asked for once more; it stays when the second is wrong."""
        self.json, self.fault = _read(form, reply)
        if self.fault is None:
            return reply
        asked = (*sent.messages, AssistantReply(reply.text), UserText(_AGAIN.format(fault=self.fault)))
        second = await self._model.respond(replace(sent, messages=asked, tools=()), None)
        usage = reply.usage + second.usage
        self.json, fault = _read(form, second)
        if fault is not None:
            return replace(reply, usage=usage)
        self.fault = None
        return replace(second, usage=usage, calls=())


def _read(form: AnswerForm, reply: ModelReply) -> tuple[str | None, str | None]:
    """The JSON text in a reply, or what is wrong with it."""
    try:
        return form.json_in(reply.text), None
    except json.JSONDecodeError:
        return None, "it is no JSON"
    except (ValueError, RecursionError) as exc:
        return None, " ".join(str(exc).split())[:_MAX_FAULT_CHARS]


def checked_schema(schema: dict[str, Any], max_bytes: int) -> str:
    """A client's JSON schema as text. Raises ValueError for one that is too large or none."""
    import jsonschema

    text = json.dumps(schema)
    if len(text) > max_bytes:
        raise ValueError(f"the schema has {len(text):,} bytes, at most {max_bytes:,} are taken")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except RecursionError as exc:
        raise ValueError("the schema is nested too deeply") from exc
    except jsonschema.SchemaError as exc:
        raise ValueError(f"the schema is wrong: {exc.message[:_MAX_FAULT_CHARS]}") from exc
    return text


def _without_fence(text: str) -> str:
    lines = text.split("\n")
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1]).strip()
    return text
