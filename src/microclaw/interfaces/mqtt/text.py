"""MQTT on a person's screens: the line of `status`, what `doctor` says of the settings and of the connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from microclaw.addresses import is_local
from microclaw.findings import Finding, problem, warning

if TYPE_CHECKING:
    from microclaw.host.config.settings import Settings


def mqtt_line(mqtt: Mapping[str, Any]) -> str:
    """Return one line: the connection, the waiting messages, and any problem."""
    buffer = mqtt["buffer"]
    parts = [_trouble(mqtt)]
    if mqtt["state"] == "on":
        parts = [f"{mqtt['address']}   {mqtt['publishes']}", mqtt["text"] or ""]
    if buffer["events"] + buffer["telemetry"]:
        size = f"{buffer['bytes'] / 1024:.0f} KB"
        parts.append(f"waiting: {buffer['events']} events, {buffer['telemetry']} of telemetry ({size})")
    parts.append(_lost(buffer))
    return "   ".join(filter(None, parts))


def setting_warnings(settings: Settings) -> Iterator[Finding]:
    """Report unwise settings."""
    mqtt = settings.mqtt
    if mqtt.url is None:
        return
    if mqtt.url.startswith("mqtt://") and not is_local(mqtt.url):
        text = f"{mqtt.url} is not on this network: all that is sent, the password too, can be read on the way"
        yield warning("mqtt", text, "use mqtts:// (and mqtt.ca_file, where the authority is your own)")
    if mqtt.commands and mqtt.user is None:
        text = "mqtt.commands is on and the broker asks this host for no name: whoever reaches it may set pins"
        step = "let the broker ask for names (mqtt.user), and say there who may write to .../set and .../undo"
        yield warning("mqtt", text, step)


def connection_finding(mqtt: Mapping[str, Any]) -> Finding:
    if mqtt["state"] != "on":
        return problem("mqtt", _trouble(mqtt), mqtt["next"] or "the broker's log says more")
    if mqtt["text"]:
        return problem("mqtt", mqtt["text"], "check in the broker's settings what this host may write and read")
    lost = _lost(mqtt["buffer"])
    if lost:
        return warning(
            "mqtt", f"the buffer was full once: {lost}", "find out why the broker was unreachable for that long"
        )
    return Finding("mqtt", ok=True, text=mqtt_line(mqtt))


def _trouble(mqtt: Mapping[str, Any]) -> str:
    if mqtt["text"]:
        return f"not connected: {mqtt['text']}"
    return "connecting"


def _lost(buffer: Mapping[str, int]) -> str:
    events = buffer["lost_events"] + buffer["lost_unwritten"]
    telemetry = buffer["lost_telemetry"]
    if events + telemetry:
        return f"lost: {events} events, {telemetry} of telemetry"
    return ""
