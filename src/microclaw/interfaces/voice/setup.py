"""Voice as a part of the host: engines, sessions of devices, xiaozhi's server, Wyoming. This file hears nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from microclaw import __version__
from microclaw.agent.turn.inbox import Inbox
from microclaw.clock import now_ms
from microclaw.devices.link.links import LinkRegistry
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.transport import LINK_SCHEME
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.discovery import WYOMING_SERVICE, announce, announcement_of
from microclaw.errors import ConfigError
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.certificates import lan_names
from microclaw.host.auth.people import Roles
from microclaw.host.builder.builder import HostBuilder
from microclaw.host.builder.hooks import Row, StatusField
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.voice.operations import VoiceState, trace
from microclaw.programs.changes.services import local_zone
from microclaw.text import count_text

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink
    from microclaw.interfaces.voice.session_context import VoiceParts

VoiceMaker: TypeAlias = "Callable[[Inbox, Approvals], VoiceParts]"
_log = logging.getLogger(__name__)


class VoiceEngines(Struct, frozen=True):
    """A part of a host whose engines are not those of the settings: `make` makes them and what sessions work with."""

    make: VoiceMaker


def setup(host: HostBuilder) -> None:
    """Turn speech into requests."""
    voice = _HostVoice(host)
    host.serves(trace, voice.state)
    host.add_tools(voice.tools)
    host.enter(voice.serving())
    _show(host, voice.state)


def _show(host: HostBuilder, state: VoiceState) -> None:
    async def rows() -> AsyncIterator[Row]:
        xiaozhi = state.xiaozhi_object()
        if xiaozhi["ota"]:
            yield "xiaozhi", f"{xiaozhi['ota']}   {count_text(xiaozhi['connected'], 'device')} connected"
        if state.wyoming:
            yield "wyoming", state.wyoming

    def problems() -> Iterator[str]:
        for name, problem in state.problems.items():
            # Voice itself is off on most hosts.
            if name != "voice":
                yield f"{name} is off: {problem}"

    def start_facts() -> Mapping[str, object]:
        return {"xiaozhi": state.ota, "wyoming": state.wyoming}

    hooks = host.hooks
    hooks.on_screen("services", rows)
    hooks.problems.append(problems)
    hooks.start_facts.append(start_facts)
    hooks.fields.append(StatusField("xiaozhi", dict[str, Any], state.xiaozhi_object))
    hooks.fields.append(StatusField("wyoming", dict[str, Any], state.wyoming_object))


class _HostVoice:
    """Its engines are those of the settings, or of VoiceEngines. Until it serves, there is no service and no tool."""

    def __init__(self, host: HostBuilder) -> None:
        self._host = host
        self._settings = host.settings.voice
        self._inbox = host.need(Inbox)
        self._registry = host.need(Registry)
        self._links = host.need(LinkRegistry)
        self.state = VoiceState()

    def tools(self) -> tuple[Tool[Any], ...]:
        """Return the tools of devices that are connected."""
        server = self.state.xiaozhi
        if server is None or not server.connected:
            return ()
        from microclaw.interfaces.voice.xiaozhi.tools import xiaozhi_tools

        return xiaozhi_tools(self._registry, server.tools_of)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve voice inside. A part that fails is off."""
        async with AsyncExitStack() as stack:
            parts = self._make_parts()
            if parts is not None:
                await self._open_sessions(parts, stack)
            if self._settings.xiaozhi is not None:
                with self._off_if_refused("xiaozhi"):
                    await self._open_xiaozhi(self._settings.xiaozhi, stack)
            if self._settings.wyoming_port is not None:
                with self._off_if_refused("wyoming"):
                    await self._open_wyoming(self._settings.wyoming_port, parts, stack)
            stack.callback(self._close)
            yield

    def _close(self) -> None:
        self._links.parts.open_audio = None
        self.state.service = None
        self.state.xiaozhi = None

    @contextmanager
    def _off_if_refused(self, part: str) -> Iterator[None]:
        """Note a ConfigError inside as the reason why the part is off. Nothing else is affected."""
        try:
            yield
        except ConfigError as exc:
            self.state.problems[part] = f"{exc.message} (next: {exc.next_step})"
            _log.warning("%s is off: %s", part, self.state.problems[part])

    def _make_parts(self) -> VoiceParts | None:
        """Return the parts that sessions work with, or None if voice is off."""
        engines = self._host.find(VoiceEngines)
        if engines is not None:
            return engines.make(self._inbox, self._host.admission.approvals)
        with self._off_if_refused("voice"):
            return self._chosen_parts()
        return None

    async def _open_sessions(self, parts: VoiceParts, stack: AsyncExitStack) -> None:
        # Only a host that is spoken to needs it.
        from microclaw.interfaces.voice.service import VoiceService

        link_parts = self._links.parts
        holding = link_parts.holding
        devices = None
        if holding is not None:
            devices = self._links_held_here
        service = VoiceService(parts, now_ms=now_ms, note_taker=self._note_taker, devices=devices)
        await stack.enter_async_context(service.serving())
        self.state.service = service
        link_parts.open_audio = service.open_link
        if holding is not None:
            holding.moved.append(lambda _link_id: service.look_again())

    def _links_held_here(self) -> list[str]:
        """Return the ids of links that are connected to this host of a cluster: one host speaks to each device."""
        holding = self._links.parts.holding
        if holding is None:
            return []
        here = []
        for device in self._registry.list():
            here += [link_id for link_id in device.link_ids if holding.is_here(link_id)]
        return here

    def _chosen_parts(self) -> VoiceParts | None:
        """Return the parts with the engines of the settings, or None. Raises ConfigError for a missing engine."""
        from microclaw.interfaces.voice.engine_choice import off_problem

        problem = off_problem(self._settings)
        if problem is not None:
            self.state.problems["voice"] = problem
            return None
        from microclaw.interfaces.voice.engine_choice import chosen_recognizer, chosen_synthesizer
        from microclaw.interfaces.voice.engines.silero_vad import SileroVoiceDetector
        from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts

        settings = self._settings
        proxy = self._host.settings.proxy
        check_speaker(self._host.admission.people, settings.person)
        return VoiceParts(
            inbox=self._inbox,
            approvals=self._host.admission.approvals,
            recognizer=chosen_recognizer(settings, self._device_names, self._host.settings.home, proxy=proxy),
            synthesizer=chosen_synthesizer(settings, proxy=proxy),
            new_detector=SileroVoiceDetector,
            endpoints=EndpointLimits(silence_ms=settings.silence_ms),
            person_id=settings.person,
        )

    def _device_names(self) -> list[str]:
        return [device.name for device in self._registry.list()]

    async def _open_wyoming(self, port: int, speech: VoiceParts | None, stack: AsyncExitStack) -> None:
        """Serve speech and the agent, or only the agent if there is no speech."""
        from microclaw.interfaces.voice.session_context import AgentParts
        from microclaw.interfaces.voice.wyoming_server import WyomingServer

        host = self._settings.wyoming_host
        person_id = self._settings.person
        admission = self._host.admission
        check_speaker(admission.people, person_id)
        parts = speech or AgentParts(self._inbox, admission.approvals, person_id=person_id)
        server = await stack.enter_async_context(WyomingServer.opened(parts, host, port))
        self.state.wyoming = str(HostPort(host, server.port))
        _log.info("Wyoming services at %s", self.state.wyoming)
        names = await asyncio.to_thread(lan_names)
        announcement = announcement_of(WYOMING_SERVICE, host, server.port, names, {"version": __version__})
        # None if the LAN cannot reach it.
        if announcement is not None:
            group = self._host.need(asyncio.TaskGroup)
            await stack.enter_async_context(announce(announcement, group))

    async def _open_xiaozhi(self, wanted: str, stack: AsyncExitStack) -> None:
        if self.state.service is None:
            raise ConfigError(f"voice is off: {self.state.problems['voice']}", next_step="docs/voice.md")
        link = self._host.find(LinkServer)
        if link is None:
            step = "microclaw up --link 127.0.0.1:8443"
            raise ConfigError("the host's identity is the link's, and the link is off", next_step=step)
        host, _, port = wanted.rpartition(":")
        hint = "another port: microclaw config set voice.xiaozhi 0.0.0.0:8004"
        listening = stack.enter_context(tcp_listener(host, int(port), next_step=hint))
        # It brings an HTTP server.
        from microclaw.interfaces.voice.xiaozhi.server import OTA_PATH, XiaozhiServer

        server = XiaozhiServer(
            voice=self.state.service,
            devices=self._registry,
            identity=link.identity,
            now_ms=now_ms,
            zone=local_zone(self._host.settings),
        )
        await stack.enter_async_context(server.serving(listening))
        address = await asyncio.to_thread(_lan_address, host)
        self.state.xiaozhi = server
        self.state.ota = f"http://{address}:{listening.getsockname()[1]}{OTA_PATH}"

    def _note_taker(self, device_id: str) -> DeviceLink | None:
        device = self._registry.owner_of(f"{LINK_SCHEME}{device_id}")
        if device is None:
            return None
        return self._links.link(device_id)


def check_speaker(roles: Roles, person_id: str) -> None:
    """Raise ConfigError unless the host knows the person for whom voice speaks, and they may chat."""
    person = roles.get(person_id)
    if person is not None and person.role != "read-only":
        return
    reason = "whom this host does not know"
    if person is not None:
        reason = f"and {person.name} is read-only, who may look and not speak"
    step = "microclaw config set voice.person owner, or a member's or guest's id: microclaw person list"
    raise ConfigError(f"voice.person is {person_id!r}, {reason}", next_step=step)


def _lan_address(bound_to: str) -> str:
    """Return the address by which a device of the LAN reaches this host. The firmware has no IPv6, no .local names."""
    # Compared, not bound.
    if bound_to not in ("0.0.0.0", "::"):  # noqa: S104
        return bound_to
    for address in lan_names().addresses:
        if address.version == 4 and not address.is_loopback and not address.is_link_local:
            return str(address)
    return "127.0.0.1"
