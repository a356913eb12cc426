"""Opens voice: engines, sessions of the link's devices, xiaozhi's server, Wyoming. It hears nothing itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from microclaw import __version__
from microclaw.agent.turn.inbox import Inbox
from microclaw.app.devices import Base, DeviceServices
from microclaw.clock import now_ms
from microclaw.devices.link.server import LinkServer
from microclaw.devices.registry.transport import LINK_SCHEME
from microclaw.devices.transports.address import HostPort
from microclaw.devices.transports.discovery import WYOMING_SERVICE, announce, announcement_of
from microclaw.errors import ConfigError
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.certificates import lan_names
from microclaw.host.operations.tool import Tool
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.voice.operations import VoiceState
from microclaw.programs.changes.services import local_zone

if TYPE_CHECKING:
    from microclaw.devices.link.device_link import DeviceLink
    from microclaw.interfaces.voice.session_context import VoiceParts

VoiceMaker: TypeAlias = "Callable[[Inbox, Approvals], VoiceParts]"
"""Makes the engines and what else every session works with."""
_log = logging.getLogger(__name__)


class HostVoice:
    """Its engines are the settings', or what `make` makes. Until `open` there is no service and no tool."""

    def __init__(self, base: Base, devices: DeviceServices, link: LinkServer | None) -> None:
        self._base = base
        self._devices = devices
        self._link = link
        self.state = VoiceState()

    def tools(self) -> tuple[Tool[Any], ...]:
        """Those of devices that are connected."""
        server = self.state.xiaozhi
        if server is None or not server.connected:
            return ()
        from microclaw.interfaces.voice.xiaozhi.tools import xiaozhi_tools

        return xiaozhi_tools(self._devices.registry, server.tools_of)

    async def open(
        self, inbox: Inbox, group: asyncio.TaskGroup, stack: AsyncExitStack, make: VoiceMaker | None
    ) -> None:
        """After the conversations, so that it ends before them. A part that fails is off."""
        settings = self._base.settings.voice
        link_parts = self._devices.links.parts
        if make is not None:
            parts = make(inbox, self._base.admission.approvals)
        else:
            parts = None
        if parts is None:
            with self._off_where_refused("voice"):
                parts = self._chosen_parts(inbox)
        if parts is not None:
            from microclaw.interfaces.voice.service import VoiceService  # only who is spoken to needs it

            cluster = self._base.cluster
            if cluster is None:
                devices = None
            else:
                devices = partial(cluster.spoken_to, self._devices.registry)
            service = VoiceService(parts, now_ms=now_ms, note_taker=self._note_taker, devices=devices)
            await stack.enter_async_context(service.serving())
            self.state.service = service
            link_parts.open_audio = service.open_link
            if cluster is not None:
                cluster.holding.moved.append(lambda _link_id: service.look_again())
        if settings.xiaozhi is not None:
            with self._off_where_refused("xiaozhi"):
                await self._open_xiaozhi(settings.xiaozhi, stack)
        if settings.wyoming_port is not None:
            with self._off_where_refused("wyoming"):
                await self._open_wyoming(settings.wyoming_port, parts, inbox, stack, group)
        stack.callback(self._close)

    def _close(self) -> None:
        self._devices.links.parts.open_audio = None
        self.state.service = self.state.xiaozhi = None

    @contextmanager
    def _off_where_refused(self, part: str) -> Iterator[None]:
        """A ConfigError inside is why the part is off. Nothing else is affected."""
        try:
            yield
        except ConfigError as exc:
            self.state.problems[part] = f"{exc.message} (next: {exc.next_step})"
            _log.warning("%s is off: %s", part, self.state.problems[part])

    def _chosen_parts(self, inbox: Inbox) -> VoiceParts | None:
        """The parts of sessions; None where no engine is looked for. ConfigError for one that cannot be had."""
        from microclaw.interfaces.voice.engine_choice import off_problem

        problem = off_problem(self._base.settings.voice)
        if problem is not None:
            self.state.problems["voice"] = problem
            return None
        from microclaw.interfaces.voice.engine_choice import chosen_recognizer, chosen_synthesizer
        from microclaw.interfaces.voice.engines.silero_vad import SileroVoiceDetector
        from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts

        settings = self._base.settings.voice
        proxy = self._base.settings.proxy
        registry = self._devices.registry
        self._check_speaker(settings.person)
        names = lambda: [device.name for device in registry.list()]  # noqa: E731
        return VoiceParts(
            inbox=inbox,
            approvals=self._base.admission.approvals,
            recognizer=chosen_recognizer(settings, names, self._base.settings.home, proxy=proxy),
            synthesizer=chosen_synthesizer(settings, proxy=proxy),
            new_detector=SileroVoiceDetector,
            endpoints=EndpointLimits(silence_ms=settings.silence_ms),
            person_id=settings.person,
        )

    def _check_speaker(self, person_id: str) -> None:
        """Raises ConfigError unless the host knows whom voice speaks for, and that one may chat."""
        person = self._base.admission.people.get(person_id)
        if person is not None and person.role != "read-only":
            return
        why = "whom this host does not know"
        if person is not None:
            why = f"and {person.name} is read-only, who may look and not speak"
        step = "microclaw config set voice.person owner, or a member's or guest's id: microclaw person list"
        raise ConfigError(f"voice.person is {person_id!r}, {why}", next_step=step)

    async def _open_wyoming(
        self, port: int, speech: VoiceParts | None, inbox: Inbox, stack: AsyncExitStack, group: asyncio.TaskGroup
    ) -> None:
        """With the agent alone where there is no speech."""
        from microclaw.interfaces.voice.session_context import AgentParts
        from microclaw.interfaces.voice.wyoming_server import WyomingServer

        host = self._base.settings.voice.wyoming_host
        person_id = self._base.settings.voice.person
        self._check_speaker(person_id)
        parts = speech or AgentParts(inbox, self._base.admission.approvals, person_id=person_id)
        server = await stack.enter_async_context(WyomingServer.opened(parts, host, port))
        self.state.wyoming = str(HostPort(host, server.port))
        _log.info("Wyoming services at %s", self.state.wyoming)
        names = await asyncio.to_thread(lan_names)
        announcement = announcement_of(WYOMING_SERVICE, host, server.port, names, {"version": __version__})
        if announcement is not None:  # only where the LAN can reach it
            await stack.enter_async_context(announce(announcement, group))

    async def _open_xiaozhi(self, wanted: str, stack: AsyncExitStack) -> None:
        if self.state.service is None:
            raise ConfigError(f"voice is off: {self.state.problems['voice']}", next_step="docs/voice.md")
        if self._link is None:
            step = "microclaw up --link 127.0.0.1:8443"
            raise ConfigError("the host's identity is the link's, and the link is off", next_step=step)
        host, _, port = wanted.rpartition(":")
        hint = "another port: microclaw config set voice.xiaozhi 0.0.0.0:8004"
        listening = stack.enter_context(tcp_listener(host, int(port), next_step=hint))
        from microclaw.interfaces.voice.xiaozhi.server import OTA_PATH, XiaozhiServer  # it brings an HTTP server

        server = XiaozhiServer(
            voice=self.state.service,
            devices=self._devices.registry,
            identity=self._link.identity,
            now_ms=now_ms,
            zone=local_zone(self._base.settings),
        )
        await stack.enter_async_context(server.serving(listening))
        here = await asyncio.to_thread(_reachable, host)
        self.state.xiaozhi, self.state.ota = server, f"http://{here}:{listening.getsockname()[1]}{OTA_PATH}"

    def _note_taker(self, device_id: str) -> DeviceLink | None:
        known = self._devices.registry.owner_of(f"{LINK_SCHEME}{device_id}")
        if known is None:
            return None
        return self._devices.links.link(device_id)


def _reachable(bound_to: str) -> str:
    """The address by which a device of the LAN reaches this host. The firmware has no IPv6, and no .local names."""
    if bound_to not in ("0.0.0.0", "::"):  # noqa: S104 - it is compared, not bound
        return bound_to
    found = (a for a in lan_names().addresses if a.version == 4 and not a.is_loopback and not a.is_link_local)
    return str(next(found, "127.0.0.1"))
