"""The settings of MQTT; settings.py has the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from microclaw.config.checks import is_broker, is_folder, is_mqtt_topic
from microclaw.config.declaration import about


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The MQTT broker that states, telemetry and events go to (docs/mqtt.md); without `url` nothing is sent."""

    url: Annotated[str, about("the broker: mqtt://HOST:PORT, or mqtts:// for TLS", check=is_broker)] | None = None
    user: Annotated[str, about("the name that the broker knows this host by")] | None = None
    password_file: (
        Annotated[str, about("a file with the password alone, which nobody else can read", check=is_folder)] | None
    ) = None
    ca_file: (
        Annotated[
            str, about("the authority of the broker's certificate (PEM); the system's when left out", check=is_folder)
        ]
        | None
    ) = None
    topic: Annotated[str, about("what every topic begins with", check=is_mqtt_topic)] = "microclaw"
    commands: Annotated[bool, about("true: who may write to the broker may set pins, switch programs and undo")] = False
    home_assistant: Annotated[bool, about("true: Home Assistant finds the boards by itself")] = False
    discovery_prefix: Annotated[str, about("Home Assistant's own discovery prefix", check=is_mqtt_topic)] = (
        "homeassistant"
    )
