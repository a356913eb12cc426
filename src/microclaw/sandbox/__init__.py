"""Runs code that nobody has read in a shut process or a container, or not at all."""
