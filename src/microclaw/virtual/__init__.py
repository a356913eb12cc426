"""The virtual ESP32-S3: a process of its own (`python -m microclaw.virtual`) that runs real apps on simulated pins.

It imports only wire, boards and the small modules at the root. No other package imports it.
"""
