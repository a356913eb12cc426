"""Schedules: a sentence or a program at its times."""
