"""microclaw: the self-hosted brain for ESP32-class devices."""

__version__ = "0.1.0"
