"""Speech engines behind the ports of engine.py."""
