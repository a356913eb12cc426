"""Which model answers a request: by its task, and the offline intents first where they are sure. Asks none itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from microclaw.config import ModelTask
from microclaw.models.fallback import Outage, outages_of
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText


class SureModel(Model, Protocol):
    """models.OfflineModel."""

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
        """Of the models for chats, for everything else, and for each task; each model once."""
        models = (self._by_task.get("chat", self._default), self._default, *self._by_task.values())
        found: dict[str, Outage] = {}
        for model in models:
            for outage in outages_of(model):
                found.setdefault(outage.model, outage)
        return tuple(found.values())

    async def warm_up(self) -> None:
        """What chats need; the others load at their first request."""
        await self._by_task.get("chat", self._default).warm_up()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        model = self._by_task.get(request.task, self._default)
        reply = await model.respond(request, on_text)
        return reply if reply.model else dataclasses.replace(reply, model=model.name)

    async def aclose(self) -> None:
        for model in {id(m): m for m in (self._default, *self._by_task.values())}.values():
            await model.aclose()


class OfflineFirst:
    """Sentences that the offline intents are sure of cost nothing and need no network; a model has the others."""

    def __init__(self, offline: SureModel, model: Model) -> None:
        self._offline = offline
        self._model = model

    @property
    def name(self) -> str:
        """The model's; replies of the offline intents name themselves."""
        return self._model.name

    def outages(self) -> tuple[Outage, ...]:
        """The model's: the offline intents are never out."""
        return outages_of(self._model)

    async def warm_up(self) -> None:
        await self._offline.warm_up()
        await self._model.warm_up()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        if request.task == "chat" and self._offline.is_sure(request):
            reply = await self._offline.respond(request, on_text)
            return dataclasses.replace(reply, model=self._offline.name)
        reply = await self._model.respond(request, on_text)
        return reply if reply.model else dataclasses.replace(reply, model=self._model.name)

    async def aclose(self) -> None:
        await self._model.aclose()
        await self._offline.aclose()
