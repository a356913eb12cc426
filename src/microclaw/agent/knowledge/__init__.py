"""The agent's knowledge beyond one turn: memory, skills."""
