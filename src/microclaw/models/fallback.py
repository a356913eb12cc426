"""Several models behind one: the first that can answers, the others wait. Knows no provider; keeps breakers.

A request that fails because of its service goes to the next model. Once text has reached the person, that is said
in the text itself: nobody sees two beginnings without knowing why.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from microclaw.errors import ModelError, ModelFault
from microclaw.models.breaker import FAULTS_OF_THE_SERVICE, Breaker
from microclaw.models.protocol import Model, ModelReply, ModelRequest, OnText

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outage:
    """A model that others stand in for. `instead` answered last (None: nobody did); `retry_in_s` 0 is the next time."""

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
    def again(self) -> str:
        """When it is asked again."""
        return f"asked again in {max(1, round(self.retry_in_s))} s" if self.retry_in_s > 0 else "asked again next time"


@runtime_checkable
class KnowsOutages(Protocol):
    """A choice of models."""

    def outages(self) -> tuple[Outage, ...]: ...


def outages_of(model: Model) -> tuple[Outage, ...]:
    """What is out now, the model for chats first; a model that chooses among none has no outage to tell of."""
    return model.outages() if isinstance(model, KnowsOutages) else ()


class Fallback:
    """Asks `models` in order. `breakers` has one for each of them."""

    def __init__(self, models: Sequence[Model], breakers: Sequence[Breaker]) -> None:
        if not models or len(models) != len(breakers):
            raise ValueError(f"{len(models)} models and {len(breakers)} breakers")
        self._ways = tuple(zip(models, breakers, strict=True))
        self._answered_last: Model | None = None

    @property
    def name(self) -> str:
        """The first one's; who answered is in the reply."""
        return self._ways[0][0].name

    def outages(self) -> tuple[Outage, ...]:
        """The first model, while its last request failed because of its service."""
        model, breaker = self._ways[0]
        last, other = breaker.last, self._answered_last
        if last is None:
            return ()
        instead = None if other is None or other is model else other.name
        return (Outage(model.name, last.fault, last.message, last.next_step, instead, breaker.wait_s),)

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
                self._answered_last = model
                return self._answered(model, reply)
        self._answered_last = None
        raise self._nobody(failures)

    def _answered(self, model: Model, reply: ModelReply) -> ModelReply:
        """The reply with who gave it, and why none of those before it did."""
        who = reply.model or model.name
        out: list[str] = []
        for before, breaker in self._ways:
            if before is model:
                break
            out.append(f"{before.name} is out ({_fault(breaker)})")
        if not out:
            return dataclasses.replace(reply, model=who)
        first = self.outages()
        again = f"; {first[0].model} is {first[0].again}" if first else ""
        return dataclasses.replace(reply, model=who, instead=f"{who} answers: {', '.join(out)}{again}")

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


def _fault(breaker: Breaker) -> str:
    """Why its service was not asked, or failed."""
    return breaker.last.fault.replace("_", " ") if breaker.last is not None else "being tried"


class _Told:
    """What the person has already seen of an answer."""

    def __init__(self, on_text: Callable[[str], None] | None) -> None:
        self._on_text = on_text
        self.text = False

    def add(self, piece: str) -> None:
        self.text = True
        if self._on_text is not None:
            self._on_text(piece)
