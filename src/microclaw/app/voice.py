"""Opens voice: engines, sessions of devices, the Wyoming services. It hears and says nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from microclaw import __version__
from microclaw.agent.inbox import Inbox
from microclaw.app.devices import Base, Devices
from microclaw.auth.certificates import lan_names
from microclaw.clock import now_ms
from microclaw.config.settings import VoiceSettings
from microclaw.errors import ConfigError, UnknownName
from microclaw.link_server.device_link import DeviceLink
from microclaw.transports.discovery import announced, wyoming_announcement_of

if TYPE_CHECKING:
    from microclaw.voice.engines.command_grammar import SpokenNames
    from microclaw.voice.service import VoiceService

PACKAGES: Final = ("av", "pocketsphinx", "webrtcvad")
HOW_TO_INSTALL: Final = "make voice, or pip install 'microclaw[voice]' (docs/voice.md)"
_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_voice(
    base: Base, devices: Devices, inbox: Inbox, group: asyncio.TaskGroup
) -> AsyncGenerator[tuple[VoiceService | None, str | None]]:
    """Inside, devices with a microphone are heard. None, and why, where voice is off: nothing else is affected."""
    settings = base.settings.voice
    problem = _problem(settings)
    service = None
    if problem is None:
        try:
            service = _service(base, devices, inbox)
        except ConfigError as exc:
            problem = f"{exc.message} (next: {exc.next_step})"
            _log.warning("voice is off: %s", problem)
    if service is None:
        yield None, problem
        return
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.serving())
        devices.audio.open = service.open_link
        if settings.wyoming_port is not None:
            await _open_wyoming(service, settings, stack, group)
        yield service, None


def _problem(settings: VoiceSettings) -> str | None:
    if not settings.enabled:
        return "it is switched off (next: microclaw config set voice.enabled true)"
    missing = [name for name in PACKAGES if find_spec(name) is None]
    return f"{', '.join(missing)} not installed (next: {HOW_TO_INSTALL})" if missing else None


def _service(base: Base, devices: Devices, inbox: Inbox) -> VoiceService:
    from microclaw.voice.endpointing import EndpointLimits
    from microclaw.voice.engine_choice import chosen_recognizer, chosen_synthesizer
    from microclaw.voice.engines.command_grammar import SpokenNames
    from microclaw.voice.engines.pocketsphinx import SphinxRecognizer
    from microclaw.voice.engines.webrtc_vad import WebrtcVoiceDetector
    from microclaw.voice.service import VoiceService
    from microclaw.voice.session import VoiceParts
    from microclaw.voice.trace import VoiceTraces

    settings, proxy = base.settings.voice, base.settings.proxy
    if base.admission.people.get(settings.person) is None:
        raise ConfigError(
            f"voice.person is {settings.person!r}, whom this host does not know",
            next_step="microclaw config set voice.person owner, or microclaw person list",
        )

    def names() -> SpokenNames:
        return SpokenNames(devices=tuple(device.name for device in devices.registry.list()))

    sphinx = SphinxRecognizer(names)
    parts = VoiceParts(
        inbox=inbox,
        approvals=base.admission.approvals,
        recognizer=chosen_recognizer(settings, pocketsphinx=lambda: sphinx, proxy=proxy),
        synthesizer=chosen_synthesizer(settings, proxy=proxy),
        new_detector=WebrtcVoiceDetector,
        traces=VoiceTraces(),
        endpoints=EndpointLimits(silence_ms=settings.silence_ms),
        person_id=settings.person,
    )

    def note_taker(device_id: str) -> DeviceLink | None:
        try:
            return devices.links.link(device_id)
        except UnknownName:
            return None

    warm_up = sphinx.warm_up if "pocketsphinx" in settings.asr else None
    return VoiceService(parts, now_ms=now_ms, note_taker=note_taker, warm_up=warm_up)


async def _open_wyoming(
    service: VoiceService, settings: VoiceSettings, stack: AsyncExitStack, group: asyncio.TaskGroup
) -> None:
    from microclaw.voice.wyoming_server import WyomingServer

    assert settings.wyoming_port is not None
    host = settings.wyoming_host
    server = await stack.enter_async_context(WyomingServer.opened(service.parts, host, settings.wyoming_port))
    _log.info("Wyoming services at %s:%d", host, server.port)
    announcement = wyoming_announcement_of(host, server.port, await asyncio.to_thread(lan_names), version=__version__)
    if announcement is not None:
        await stack.enter_async_context(announced(announcement, group))
