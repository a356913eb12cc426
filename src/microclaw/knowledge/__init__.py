"""What the agent knows beyond one turn: memory, skills, schedules."""
