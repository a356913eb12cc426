"""Which model answers, from the settings: Anthropic, OpenAI or a compatible server, else none (offline)."""

from __future__ import annotations

from microclaw.config import ModelSettings
from microclaw.models.offline import OfflineModel
from microclaw.models.protocol import Model

ANTHROPIC_DEFAULT = "claude-sonnet-5-5"
OPENAI_DEFAULT = "gpt-6.1-terra"


def choose_model(settings: ModelSettings) -> Model:
    """A ready model; no library of a provider is imported before its first request.

    An Anthropic key counts before OpenAI's. A compatible server (OPENAI_BASE_URL) needs no key; without
    MICROCLAW_MODEL it is asked which models it has, and the first one answers.
    """
    if not settings.configured:
        return OfflineModel()
    from microclaw.models.providers import AnthropicProviderModel, OpenAIProviderModel

    if settings.anthropic_api_key:
        return AnthropicProviderModel(
            settings.model or ANTHROPIC_DEFAULT,
            api_key=settings.anthropic_api_key,
            base_url=settings.anthropic_base_url,
        )
    if settings.openai_base_url:
        return OpenAIProviderModel(settings.model, api_key=settings.openai_api_key, base_url=settings.openai_base_url)
    return OpenAIProviderModel(settings.model or OPENAI_DEFAULT, api_key=settings.openai_api_key, base_url=None)


def describe(settings: ModelSettings) -> str:
    """The chosen model in a few words, without importing it."""
    if not settings.configured:
        return "none: no API key set"
    if settings.anthropic_api_key:
        return f"{settings.model or ANTHROPIC_DEFAULT} (Anthropic)"
    if settings.openai_base_url:
        return f"{settings.model or 'the first model'} at {settings.openai_base_url}"
    return f"{settings.model or OPENAI_DEFAULT} (OpenAI)"
