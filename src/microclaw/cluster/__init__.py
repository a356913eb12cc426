"""Many hosts, one fleet: what hosts that share a database do with each other. A host alone imports nothing of it."""
