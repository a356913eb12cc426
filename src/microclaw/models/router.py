"""Which model answers a request: by its task, and offline sentences first where they are sure. Sends no request."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from msgspec import structs

from microclaw.config.settings import ModelChoice, ModelSettings, ModelTask
from microclaw.models.fallback import Breaker, Fallback, Outage
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText
from microclaw.models.provider_errors import shown_address


class SureModel(Model, Protocol):
    """offline.model.OfflineModel, which is a layer above this one."""

    def is_sure(self, request: ModelRequest) -> bool: ...


class TaskRouter:
    """A model for each kind of work that has one of its own, and one for everything else."""

    def __init__(self, default: Model, by_task: Mapping[ModelTask, Model]) -> None:
        self._default = default
        self._by_task = dict(by_task)

    @property
    def name(self) -> str:
        return self._by_task.get("chat", self._default).name

    def outages(self) -> tuple[Outage, ...]:
        """The outages of all models, the one for chats first; each model once."""
        models = (self._by_task.get("chat", self._default), self._default, *self._by_task.values())
        found: dict[str, Outage] = {}
        for model in models:
            for outage in outages_of(model):
                found.setdefault(outage.model, outage)
        return tuple(found.values())

    async def warm_up(self) -> None:
        """Load the model for chats; the others load at their first request."""
        await self._by_task.get("chat", self._default).warm_up()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        model = self._by_task.get(request.task, self._default)
        reply = await model.respond(request, on_text)
        return reply if reply.model else structs.replace(reply, model=model.name)

    async def aclose(self) -> None:
        for model in {id(m): m for m in (self._default, *self._by_task.values())}.values():
            await model.aclose()


class OfflineFirst:
    """The offline model answers the sentences that it is sure of, free and without network; another model the rest."""

    def __init__(self, offline: SureModel, model: Model) -> None:
        self._offline = offline
        self._model = model

    @property
    def name(self) -> str:
        """The other model's name; replies of the offline model carry their own."""
        return self._model.name

    def outages(self) -> tuple[Outage, ...]:
        """The other model's outages: the offline model is never out."""
        return outages_of(self._model)

    async def warm_up(self) -> None:
        await self._model.warm_up()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        if request.task == "chat" and self._offline.is_sure(request):
            reply = await self._offline.respond(request, on_text)
            return structs.replace(reply, model=self._offline.name)
        reply = await self._model.respond(request, on_text)
        return reply if reply.model else structs.replace(reply, model=self._model.name)

    async def aclose(self) -> None:
        await self._model.aclose()
        await self._offline.aclose()


def outages_of(model: Model) -> tuple[Outage, ...]:
    """The models that are out now, the one for chats first; one model alone reports no outage."""
    return model.outages() if isinstance(model, Fallback | TaskRouter | OfflineFirst) else ()


Meter: TypeAlias = Callable[[Model], Model]

ANTHROPIC_DEFAULT = "claude-sonnet-5-5"
OPENAI_DEFAULT = "gpt-6.1-terra"
LAST_TIMEOUT_S = 90.0  # of silence; a turn has 120 s
FIRST_TIMEOUT_S = 45.0  # of one that others stand behind


def choose_model(
    settings: ModelSettings,
    offline: SureModel,
    *,
    proxy: str | None = None,
    meter: Meter | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> Model:
    """A ready model; no library of a provider is imported before its first request.

    A compatible server without a model's name is asked which models it has, and the first one answers. `meter` wraps
    each provider's model, and only those: `lambda model: MeteredModel(model, usage_log, budget)`. `offline` answers
    without a model, and what it is sure of with one.
    """
    if settings.main is None:
        return offline
    made: dict[ModelChoice, tuple[Model, Breaker]] = {}

    def with_breaker(choice: ModelChoice) -> tuple[Model, Breaker]:
        """The model and its breaker; a model that is named twice has one connection pool."""
        if choice not in made:
            last = choice == settings.fallbacks[-1] if settings.fallbacks else True
            model = _provider_model(choice, proxy, LAST_TIMEOUT_S if last else FIRST_TIMEOUT_S)
            made[choice] = (meter(model) if meter is not None else model, Breaker(now_s))
        return made[choice]

    def with_fallbacks(first: ModelChoice) -> Model:
        members = [with_breaker(choice) for choice in dict.fromkeys((first, *settings.fallbacks))]
        return Fallback([model for model, _ in members], [breaker for _, breaker in members])

    model = with_fallbacks(settings.main)
    if settings.tasks:
        model = TaskRouter(model, {task: with_fallbacks(choice) for task, choice in settings.tasks.items()})
    return OfflineFirst(offline, model) if settings.offline_first else model


def describe(settings: ModelSettings) -> str:
    """The chosen model in a few words, without importing it."""
    if settings.main is None:
        return "none: no API key set"
    chosen = _named(settings.main)
    if chosen.provider == "anthropic":
        text = f"{chosen.name} (Anthropic)"
    elif chosen.base_url:
        text = f"{chosen.name or 'the first model'} at {shown_address(chosen.base_url)}"
    else:
        text = f"{chosen.name} (OpenAI)"
    count = len(settings.fallbacks)
    return f"{text}, {count} to fall back on" if count else text


def _named(choice: ModelChoice) -> ModelChoice:
    """With its provider's usual model, where it names none and its server is not to be asked for one."""
    if choice.name or (choice.provider == "openai" and choice.base_url):
        return choice
    return dataclasses.replace(choice, name=ANTHROPIC_DEFAULT if choice.provider == "anthropic" else OPENAI_DEFAULT)


def _provider_model(choice: ModelChoice, proxy: str | None, timeout_s: float) -> Model:
    from microclaw.models.providers import AnthropicProviderModel, OpenAIProviderModel

    provider = AnthropicProviderModel if choice.provider == "anthropic" else OpenAIProviderModel
    choice = _named(choice)
    return provider(choice.name, api_key=choice.api_key, base_url=choice.base_url, timeout_s=timeout_s, proxy=proxy)
