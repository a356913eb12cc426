"""Speech with a device: what it hears becomes a message to the agent, what the agent answers is spoken."""
