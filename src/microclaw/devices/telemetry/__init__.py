"""Measurements and faults of devices, kept by the host, and passed on to an MQTT broker."""
