"""The host at an MQTT broker: it sends states, telemetry and events, and takes commands (docs/mqtt.md)."""
