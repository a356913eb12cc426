"""Several models behind one: the first that can answers, the others wait. Knows no provider; keeps breakers.

A request that fails because of its service goes to the next model. Once text has reached the person, that is said
in the text itself: nobody sees two beginnings without knowing why.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from microclaw.errors import ModelError
from microclaw.models.breaker import FAULTS_OF_THE_SERVICE, Breaker
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText

_log = logging.getLogger(__name__)


class Fallback:
    """Asks `models` in order. `breakers` has one for each of them."""

    def __init__(self, models: Sequence[Model], breakers: Sequence[Breaker]) -> None:
        if not models or len(models) != len(breakers):
            raise ValueError(f"{len(models)} models and {len(breakers)} breakers")
        self._ways = tuple(zip(models, breakers, strict=True))

    @property
    def name(self) -> str:
        """The first one's; who answered is in the reply."""
        return self._ways[0][0].name

    async def warm_up(self) -> None:
        """The first one's libraries; most providers share them."""
        await self._ways[0][0].warm_up()

    async def aclose(self) -> None:
        for model, _ in self._ways:
            await model.aclose()

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """The first answer. ModelError when a request is wrong for any model, or when none could be asked."""
        failures: list[tuple[str, ModelError]] = []
        said = _Told(on_text)
        for model, breaker in self._ways:
            if not breaker.enter():
                continue
            if said.text:
                said.add(f"\n({failures[-1][0]} broke off; {model.name} begins anew)\n")
            try:
                reply = await model.respond(request, said.add if on_text is not None else None)
            except ModelError as exc:
                breaker.failed(exc)
                if exc.fault not in FAULTS_OF_THE_SERVICE:
                    raise
                _log.warning("%s failed (%s); the next model is asked", model.name, exc.fault)
                failures.append((model.name, exc))
            except BaseException:
                breaker.left()
                raise
            else:
                breaker.succeeded()
                return self._answered(model, reply, failures)
        raise self._nobody(failures)

    def _answered(self, model: Model, reply: ModelReply, failures: Sequence[tuple[str, ModelError]]) -> ModelReply:
        """The reply with who gave it and why no model before it did."""
        who = reply.model or model.name
        if model is self._ways[0][0]:
            return dataclasses.replace(reply, model=who)
        why = "; ".join(f"{name}: {error.fault.replace('_', ' ')}" for name, error in failures)
        first, breaker = self._ways[0]
        why = why or f"{first.name} is left alone for {breaker.wait_s:.0f} s"
        return dataclasses.replace(
            reply, model=who, note=f"{who} answered ({why}){', ' if reply.note else ''}{reply.note}"
        )

    def _nobody(self, failures: Sequence[tuple[str, ModelError]]) -> ModelError:
        """What to tell when no model answered: the first one's own failure, and the others' in a few words."""
        if not failures:
            return self._left_alone()
        (_, first), *others = failures
        if not others:
            return first
        told = "; ".join(error.message for _, error in others)
        return ModelError(
            f"{first.message}; then {told}",
            next_step=first.next_step,
            fault=first.fault,
            retry_after_s=first.retry_after_s,
        )

    def _left_alone(self) -> ModelError:
        """Every breaker is open: why the first one's is, and when the next model is asked again."""
        wait_s = min(breaker.wait_s for _, breaker in self._ways)
        model, breaker = self._ways[0]
        last = breaker.last
        again = f"it is asked again in {max(1, round(wait_s))} s"
        return ModelError(
            f"{last.message if last else f'{model.name} failed lately'}; {again}",
            next_step=last.next_step if last else "ask again then",
            fault=last.fault if last else "overloaded",
            retry_after_s=wait_s,
        )


class _Told:
    """What the person has already seen of an answer."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self.text = False

    def add(self, piece: str) -> None:
        self.text = True
        if self._on_text is not None:
            self._on_text(piece)
