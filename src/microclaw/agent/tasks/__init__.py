"""Code of people, agent and devices: its queue, results and who may run it."""
