"""Signed updates of the virtual board: flash, slots, and what a download does with them (docs/protocols/ota.md)."""
