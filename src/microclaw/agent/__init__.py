"""The agent: turns with a model or without one, what it knows, schedules and tasks."""
