"""A capable model over HTTP, in OpenAI's form, that may use only what is in its requests. Holds no test.

A policy says what it does with a person's sentence. It knows how to program; boards, pins, numbers, sources and names
it must find in the request: in the prompt, in the tools offered, in their results. What is not there is a `Guess`: the
model then answers "GUESS", and the test that asks for `guesses` fails.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from tests.agent.models.event_streams import Events, openai_stream

MORE_TOOLS = "more-tools"
GUESS = "GUESS"
_HOST_NOTE = re.compile(r"<host-note>.*?</host-note>\n*(?:<untrusted-.*?</untrusted-\w+>)?", re.DOTALL)


class Guess(Exception):
    """A fact that a policy needs is not in the request."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; the arguments in the form that its schema shows."""

    name: str
    arguments: dict[str, Any]


Move: TypeAlias = list[Call]
Moves: TypeAlias = Generator[Move, None, str]
"""The replies with calls, and the last words."""


class Request:
    """A request as the model gets it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.messages: list[dict[str, Any]] = body["messages"]
        functions = [tool["function"] for tool in body.get("tools", ())]
        self.tools: dict[str, dict[str, Any]] = {function["name"]: function for function in functions}

    @cached_property
    def text(self) -> str:
        """All that it says, tools and results too."""
        return "\n".join([*map(_words_of, self.messages), json.dumps(self.tools)])

    @property
    def prompt(self) -> str:
        """The texts that do not come from the conversation."""
        return "\n".join(_words_of(message) for message in self.messages if message["role"] in ("system", "developer"))

    @property
    def sentence(self) -> str:
        """The person's newest words, without the note that the host put before them."""
        return _HOST_NOTE.sub("", self.newest).strip()

    @property
    def newest(self) -> str:
        """The newest message of the person's side."""
        return _words_of([message for message in self.messages if message["role"] == "user"][-1])

    @property
    def begins_a_turn(self) -> bool:
        return bool(self.messages[-1]["role"] == "user")

    @property
    def results(self) -> list[Any]:
        """Those of the calls after the newest message that is no result, in their order."""
        answers: list[Any] = []
        for message in self.messages:
            if message["role"] == "tool":
                answers.append(_document(_words_of(message)))
            else:
                answers.clear()
        return answers


@dataclass
class Talk:
    """One turn, as a policy sees it."""

    request: Request

    def call(self, name: str, /, **arguments: Any) -> Generator[Move, None, Any]:
        """Call a tool and return its result; one that is not offered yet is asked for first. Arguments of None are
        left out. Guess if no text names the tool, or its schema does not name an argument."""
        if name not in self.request.tools:
            yield from self.load(name)
        fields = {key: value for key, value in arguments.items() if value is not None}
        self._check(name, fields)
        yield [Call(name, fields)]
        return self.request.results[-1]

    def load(self, *names: str) -> Generator[Move, None, None]:
        """Have these tools offered."""
        if not all(name in self.request.text for name in names):
            yield [Call(MORE_TOOLS, {})]
        for name in names:
            if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.request.text):
                raise Guess(f"no tool {name}")
        yield [Call(MORE_TOOLS, {"names": list(names)})]
        for name in names:
            if name not in self.request.tools:
                raise Guess(f"{name} was asked for and is not offered")

    def _check(self, name: str, fields: dict[str, Any]) -> None:
        known = self.request.tools[name]["parameters"]["properties"]
        for field_name in fields:
            if field_name not in known:
                raise Guess(f"{name} has no argument {field_name}: {', '.join(known)}")

    @property
    def board(self) -> str:
        """The board that the sentence names, and the prompt too."""
        known = re.findall(r"^Device ([\w-]+)", self.request.prompt, re.MULTILINE)
        for word in re.findall(r"[\w-]+", self.request.sentence):
            if word in known:
                return str(word)
        raise Guess(f"no board of {known} in {self.request.sentence}")

    def number(self, pattern: str) -> int:
        """The number in the person's sentence, a group of the pattern."""
        return int(self.words(pattern))

    def words(self, pattern: str) -> str:
        """The first group of a pattern in the person's sentence."""
        match = re.search(pattern, self.request.sentence)
        if match is None:
            raise Guess(f"the sentence does not say {pattern}")
        return str(match[1])


Policy: TypeAlias = Callable[[Talk], Moves]


@dataclass
class CapableModel:
    """Answers requests by a policy. `guesses` are the facts that were missing, and faults of the policy itself."""

    policy: Policy | None = None
    guesses: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _talk: Talk | None = None
    _moves: Moves | None = None

    def answer(self, body: dict[str, Any]) -> Events:
        request = Request(body)
        if not request.tools:  # a summary, not a turn
            return Events(openai_stream("Nothing to note."))
        self.requests.append(request)
        try:
            return Events(openai_stream(calls=calls_of(self._move(request))))
        except StopIteration as end:
            return Events(openai_stream(end.value))
        except Guess as guess:
            self.guesses.append(str(guess))
        except Exception:
            self.guesses.append(traceback.format_exc())
        return Events(openai_stream(GUESS))

    def _move(self, request: Request) -> Move:
        if request.begins_a_turn or self._moves is None or self._talk is None:
            assert self.policy is not None, request.sentence
            self._talk = Talk(request)
            self._moves = self.policy(self._talk)
        self._talk.request = request
        return next(self._moves)


class SameAnswer(list[tuple[int, Any]]):
    """The answers of tests.agent.models.model_server.Server, where one function makes all."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__([(200, answer)])

    def pop(self, _index: Any = -1) -> tuple[int, Any]:
        return self[0]


def calls_of(move: Move) -> list[dict[str, Any]]:
    """The calls as OpenAI's stream has them."""
    return [
        {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(move)
    ]


def facts(document: Any, *names: str) -> Iterator[Any]:
    """Yield the values with one of these names, the outer ones first; None and empty ones are left out."""
    documents = [document]
    while documents:
        current = documents.pop(0)
        if isinstance(current, dict):
            for name, value in current.items():
                if name in names and value not in (None, "", [], {}):
                    yield value
            documents += current.values()
        elif isinstance(current, list):
            documents += current


def fact(document: Any, *names: str) -> Any:
    """Return the first of `facts`; Guess if there is none."""
    for value in facts(document, *names):
        return value
    raise Guess(f"no {' or '.join(names)} in {json.dumps(document)[:2000]}")


def succeeded(document: Any) -> bool:
    return isinstance(document, dict) and document.get("success") is True


def check(document: Any) -> Any:
    """Return a result that succeeded; Guess for another, for which a policy has no plan."""
    if not succeeded(document):
        raise Guess(f"it failed: {json.dumps(document)[:3000]}")
    return document


def _words_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
