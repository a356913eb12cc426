"""The speech engines of the settings in this process, for a command without a host: a sentence through them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from microclaw.config.settings import Settings
from microclaw.errors import ConfigError
from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer, off_problem
from microclaw.voice.engine_trial import try_engines
from microclaw.voice.engines.command_grammar import SpokenNames
from microclaw.voice.fallback import RecognizerChain, SynthesizerChain


def own_trial(settings: Settings, text: str) -> dict[str, Any]:
    """As POST /v1/voice/test answers. Raises ConfigError where voice is off, and VoiceError."""

    async def attempt() -> dict[str, Any]:
        async with _engines(settings) as (recognizer, synthesizer):
            return (await try_engines(synthesizer, recognizer, text)).to_json()

    if (problem := off_problem(settings.voice)) is not None:
        raise ConfigError(f"voice is off: {problem}", next_step="docs/voice.md")
    return asyncio.run(attempt())


@asynccontextmanager
async def _engines(settings: Settings) -> AsyncIterator[tuple[RecognizerChain, SynthesizerChain]]:
    recognizer = chosen_recognizer(settings.voice, SpokenNames, settings.home, proxy=settings.proxy)
    try:
        synthesizer = chosen_synthesizer(settings.voice, proxy=settings.proxy)
        try:
            yield recognizer, synthesizer
        finally:
            await synthesizer.close()
    finally:
        await recognizer.close()
