"""Many hosts, one fleet: what hosts share over NATS JetStream. A host that runs alone imports nothing of it."""
