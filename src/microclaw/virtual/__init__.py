"""The virtual ESP32-S3: a process of its own (`python -m microclaw.virtual`) that runs real apps on simulated pins."""
