"""The security log: who tried to come in, who was let in, what was decided. It decides nothing itself."""
