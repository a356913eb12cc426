"""Many hosts, one fleet: what hosts that share a database do with each other. A single host imports nothing of it."""
