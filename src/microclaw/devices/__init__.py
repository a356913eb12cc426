"""Devices: what may be asked of one, through which faces, and which ones there are."""
