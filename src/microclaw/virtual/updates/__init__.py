"""Signed updates of the virtual board: its folders, and what a download does with them (docs/protocols/ota.md)."""
