"""Stores the durable messages of one device and applies each once, in its transaction and after it. Sends no answer."""

from __future__ import annotations

from msgspec.structs import replace

from microclaw.devices.link.device_link import DeviceLink
from microclaw.devices.link.effects import MAX_NAME_CHARS, MessageEffects, live_events
from microclaw.devices.link.link_parts import LinkParts
from microclaw.wire.link.messages import CancelTask, Envelope, Event, Result, RunTask


class DeviceInbox:
    """The durable messages of one device."""

    def __init__(self, link: DeviceLink, parts: LinkParts) -> None:
        self._link = link
        self._parts = parts

    async def commit(self, envelope: Envelope, *, epoch: bytes) -> None:
        """Store a durable message of the device and apply it, if it is new."""
        assert envelope.seq is not None
        link = self._link
        async with link.outbox.numbering:
            facts = None
            if link.presence is not None:
                facts = link.presence.ota
            effect = MessageEffects(link.link_id, self._parts, envelope, link.now_ms, facts, link.name)
            is_new = await self._parts.links.advance(
                link.link_id, epoch, envelope.seq, envelope.id, effect=effect.apply, fence=link.outbox.fence
            )
            if is_new and effect.seq is not None:
                link.outbox.send_stored(effect.seq, effect.payload)
        if is_new:
            self._finish(envelope, effect)

    def _finish(self, envelope: Envelope, effect: MessageEffects) -> None:
        """Do what follows a stored message outside of its transaction."""
        link = self._link
        if effect.offer is not None:
            if link.presence is not None and effect.offer.is_of_keys:
                link.presence = replace(link.presence, ota=effect.facts)
            self._parts.updates.changed(effect.offer)
        match envelope.body:
            case Event() as event:
                self._parts.reports.notify_stored()
                for live_event in live_events(event, link.name, link.now_ms):
                    self._parts.publish(live_event)
            case Result() as result if envelope.re is not None:
                link.calls.resolve(envelope.re, result)
            case RunTask() as request if effect.task is not None:
                self._parts.tasks.start(link, request, effect.task)
            case CancelTask(task=name):
                if not self._parts.tasks.cancel(link.link_id, name):
                    link.send_error("unknown_task", f"no task {name[:MAX_NAME_CHARS]} runs here", re=envelope.id)
