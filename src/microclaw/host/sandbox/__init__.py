"""Runs unreviewed code in an isolated process or a container, or not at all."""
