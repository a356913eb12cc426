"""How the chosen engines are: a row for each, with what it lacks. It mends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from microclaw.voice.engines.engine import Recognizer, Synthesizer
from microclaw.voice.fallback import common_fault, engines_in


async def engine_health(recognizer: Recognizer, synthesizer: Synthesizer) -> dict[str, Any]:
    """`engines` with a row for each, and the `problem` of roles of which none works, or None."""
    chains: dict[str, Sequence[Recognizer | Synthesizer]] = {
        "asr": engines_in(recognizer),
        "tts": engines_in(synthesizer),
    }
    faults = {role: [await engine.health() for engine in chain] for role, chain in chains.items()}
    problems = [common_fault(of_role) for of_role in faults.values()]
    return {
        "asr": recognizer.name,
        "tts": synthesizer.name,
        "problem": "; ".join(one for one in problems if one is not None) or None,
        "engines": [
            {"role": role, "name": engine.name, "problem": fault}
            for role, chain in chains.items()
            for engine, fault in zip(chain, faults[role], strict=True)
        ],
    }
