"""The models of a host behind one: by task, with others to fall back on, and sure sentences offline.

A request that fails because of its service goes to the next model. If the person has seen part of the first answer,
the text says that another model starts again. Knows no provider.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.addresses import is_local
from microclaw.agent.models.breaker import FAULTS_OF_THE_SERVICE, Breaker
from microclaw.agent.models.protocol import Model, ModelReply, ModelRequest, OnText, TextCounter
from microclaw.agent.models.usage import UsageLog
from microclaw.errors import ModelError, ModelFault
from microclaw.host.config.settings import ModelChoice, ModelSettings, ModelTask

_log = logging.getLogger(__name__)

Chain: TypeAlias = tuple[tuple[Model, Breaker], ...]


class SureModel(Model, Protocol):
    """offline.model.OfflineModel, which is a layer above this one."""

    def is_sure(self, request: ModelRequest) -> bool: ...


class Outage(Struct, frozen=True):
    """A model that is out. `instead` answered last, or None; `retry_in_s` 0: asked with the next request."""

    model: str
    fault: ModelFault
    reason: str
    next_step: str | None
    instead: str | None
    retry_in_s: float

    @property
    def why(self) -> str:
        """The fault in words."""
        return self.fault.replace("_", " ")

    @property
    def retry_text(self) -> str:
        """The time when the model is asked again, in words."""
        if self.retry_in_s > 0:
            return f"asked again in {max(1, round(self.retry_in_s))} s"
        return "asked again next time"


class Router:
    """Asks the models of a task's chain in order, of `default` where a task has none of its own.

    `offline` answers the chats that it is sure of, free and without network. All others are counted in `usage_log`,
    which keeps them within the budget.
    """

    def __init__(
        self,
        default: Chain,
        by_task: Mapping[ModelTask, Chain] = {},
        offline: SureModel | None = None,
        usage_log: UsageLog | None = None,
    ) -> None:
        self._log = usage_log
        self._default = default
        self._by_task = by_task
        self._offline = offline
        # By the first model of its chain.
        self._answered_last: dict[Model, Model] = {}

    @property
    def name(self) -> str:
        """The first model's name for chats; the reply says who answered."""
        return self._chain("chat")[0][0].name

    def outages(self) -> tuple[Outage, ...]:
        """Return each first model whose last request failed because of its service; the model for chats is first."""
        outages: dict[str, Outage] = {}
        for chain in (self._chain("chat"), self._default, *self._by_task.values()):
            outage = self._outage(chain)
            if outage is not None:
                outages.setdefault(outage.model, outage)
        return tuple(outages.values())

    async def warm_up(self) -> None:
        """Load what the first model for chats needs (most providers share it), and the one for certain sentences."""
        if self._offline is not None:
            await self._offline.warm_up()
        await self._chain("chat")[0][0].warm_up()

    async def aclose(self) -> None:
        # Models may be in several chains, and they need not be hashable.
        models: dict[int, Model] = {}
        for chain in (self._default, *self._by_task.values()):
            for model, _ in chain:
                models[id(model)] = model
        if self._offline is not None:
            models[id(self._offline)] = self._offline
        for model in models.values():
            await model.aclose()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Return the first answer. Raises ModelError if the request is wrong for any model, or if no model answers."""
        if self._offline is not None and request.task == "chat" and self._offline.is_sure(request):
            return replace(await self._offline.respond(request, on_text), model=self._offline.name)
        chain = self._chain(request.task)
        failures: list[ModelError] = []
        counter = TextCounter(on_text)
        broke_off = ""
        for model, breaker in _ready(chain):
            if counter.chars:
                counter.add(f"\n({broke_off} broke off; {model.name} begins again)\n")
            try:
                if self._log is None:
                    ask = model.respond
                else:
                    ask = partial(self._log.respond, model)
                reply = await ask(request, counter.add if on_text is not None else None)
            except ModelError as exc:
                breaker.note_failure(exc)
                if exc.fault not in FAULTS_OF_THE_SERVICE:
                    raise
                _log.warning("%s failed (%s); the next model is asked", model.name, exc.fault)
                broke_off = model.name
                failures.append(exc)
            else:
                breaker.note_success()
                self._answered_last[chain[0][0]] = model
                return self._with_source(chain, model, reply)
        self._answered_last.pop(chain[0][0], None)
        raise _no_answer(chain, failures)

    def _chain(self, task: ModelTask) -> Chain:
        return self._by_task.get(task, self._default)

    def _outage(self, chain: Chain) -> Outage | None:
        """Return the outage of the chain's first model if its last request failed because of its service, else None."""
        model, breaker = chain[0]
        last = breaker.last
        other = self._answered_last.get(model)
        if last is None:
            return None
        instead = None if other is None or other is model else other.name
        is_left_alone = instead is not None or breaker.is_wait_asked
        wait_s = breaker.wait_s if is_left_alone else 0.0
        return Outage(model.name, last.fault, last.message, last.next_step, instead, wait_s)

    def _with_source(self, chain: Chain, model: Model, reply: ModelReply) -> ModelReply:
        """Return the reply with the name of its model, and the reasons why the models before it did not answer."""
        who = reply.model or model.name
        members = itertools.takewhile(lambda member: member[0] is not model, chain)
        faults = ((before, breaker.last) for before, breaker in members)
        out = [f"{before.name} is out ({last.fault.replace('_', ' ')})" for before, last in faults if last is not None]
        if not out:
            return replace(reply, model=who)
        again = ""
        first = self._outage(chain)
        if first is not None:
            again = f"; {first.model} is {first.retry_text}"
        return replace(reply, model=who, instead=f"{who} answers: {', '.join(out)}{again}")


def outages_of(model: Model) -> tuple[Outage, ...]:
    """Return the models that are out now, the model for chats first; only a Router reports outages."""
    if isinstance(model, Router):
        return model.outages()
    return ()


def _ready(chain: Chain) -> Chain:
    """Return the models to ask now.

    If all breakers are open, these are the models whose service did not itself ask for the wait: a turn tries again
    within its own limits.
    """
    ready = tuple(member for member in chain if member[1].wait_s == 0)
    return ready or tuple(member for member in chain if not member[1].is_wait_asked)


def _no_answer(chain: Chain, failures: Sequence[ModelError]) -> ModelError:
    """Return the error if no model answered: the first model's failure, then the others' in a few words.

    Without failures every breaker is open: the error is the first breaker's, with the time of the next request.
    """
    if len(failures) == 1:
        return failures[0]
    if failures:
        first = failures[0]
        more = f"then {'; '.join(error.message for error in failures[1:])}"
        wait_s = first.retry_after_s
    else:
        last = chain[0][1].last
        # Its breaker is open, so there was an error.
        assert last is not None
        first = last
        wait_s = min(breaker.wait_s for _, breaker in chain)
        more = f"no request is sent to it for {max(1, round(wait_s))} s"
    return ModelError(f"{first.message}; {more}", next_step=first.next_step, fault=first.fault, retry_after_s=wait_s)


ANTHROPIC_DEFAULT = "claude-sonnet-5-5"
OPENAI_DEFAULT = "gpt-6.1-terra"
GOOGLE_DEFAULT = "gemini-3.8-flash"
TURN_S = 120.0
SILENCE_S = 90.0
# For a model that has others behind it.
FIRST_SILENCE_S = 45.0
# A small computer reads 2,800 tokens in five minutes before its first word.
LOCAL_SILENCE_S = 600.0


def choose_model(
    settings: ModelSettings,
    offline: SureModel,
    *,
    proxy: str | None = None,
    usage_log: UsageLog | None = None,
) -> Model:
    """Return a ready model; no library of a provider is imported before its first request.

    A compatible server without a model's name is asked for its models, and the first one answers. `offline` answers if
    no model is set, else only the sentences that it is sure of.
    """
    if settings.main is None:
        return offline
    members: dict[ModelChoice, tuple[Model, Breaker]] = {}

    def with_breaker(choice: ModelChoice) -> tuple[Model, Breaker]:
        """Return the model and its breaker; a model that is named twice has one connection pool."""
        if choice not in members:
            is_last = not settings.fallbacks or choice == settings.fallbacks[-1]
            model = provider_model(choice, proxy, silence_limit_s(choice, is_last=is_last))
            members[choice] = (model, Breaker(time.monotonic))
        return members[choice]

    def chain(first: ModelChoice) -> Chain:
        return tuple(with_breaker(choice) for choice in dict.fromkeys((first, *settings.fallbacks)))

    by_task = {task: chain(choice) for task, choice in settings.tasks.items()}
    return Router(chain(settings.main), by_task, offline if settings.offline_first else None, usage_log)


def silence_limit_s(choice: ModelChoice, *, is_last: bool = True) -> float:
    """Return how long a model may send nothing: its setting, else more for one at home, which may be slow."""
    if choice.silence_s is not None:
        return choice.silence_s
    if is_local(choice.base_url):
        return LOCAL_SILENCE_S
    return SILENCE_S if is_last else FIRST_SILENCE_S


def turn_limit_s(setting_s: float | None, model: ModelSettings) -> float:
    """Return how long a turn may take: the setting, else TURN_S, or twice the longest silence if it is over TURN_S."""
    if setting_s is not None:
        return setting_s
    choices = (model.main, *model.fallbacks, *model.tasks.values())
    silence_s = max((silence_limit_s(choice) for choice in choices if choice is not None), default=0.0)
    if silence_s <= TURN_S:
        return TURN_S
    return 2 * silence_s


def provider_model(choice: ModelChoice, proxy: str | None, silence_s: float) -> Model:
    """Return the model of a provider; nothing is sent or imported before its first request."""
    from microclaw.agent.models.providers import AnthropicProviderModel, GoogleProviderModel, OpenAIProviderModel

    provider: type[AnthropicProviderModel | GoogleProviderModel | OpenAIProviderModel]
    name = choice.name
    match choice.provider:
        case "anthropic":
            provider = AnthropicProviderModel
            name = name or ANTHROPIC_DEFAULT
        case "google":
            provider = GoogleProviderModel
            name = name or GOOGLE_DEFAULT
        case "openai":
            provider = OpenAIProviderModel
            # A server with another address is asked for its first model.
            if not choice.base_url:
                name = name or OPENAI_DEFAULT
    return provider(
        name,
        api_key=choice.api_key,
        base_url=choice.base_url,
        timeout_s=silence_s,
        proxy=proxy,
    )
