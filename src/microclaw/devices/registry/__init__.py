"""Devices: what may be asked of one, through which transports, and which ones there are."""
