"""Speech with a device: a heard sentence becomes a message to the agent, and the agent's answer is spoken."""
