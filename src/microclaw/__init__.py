"""microclaw: the self-hosted brain for ESP32-class devices."""

__version__ = "0.1.0"
__released__ = "2025-01-01"
"""A clock that shows an earlier day is wrong. scripts/release.py writes the day of the release."""
