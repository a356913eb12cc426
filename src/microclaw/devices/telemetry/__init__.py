"""Measurements and faults of devices, kept by the host."""
