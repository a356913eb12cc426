"""Speech engines behind the ports of engine.py; each is imported when it is chosen."""
