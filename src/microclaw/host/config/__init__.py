"""The host's configuration: settings.py declares it, load.py loads it."""
