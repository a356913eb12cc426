"""The host itself: store, people, configuration, acts, sandbox, backup, cluster."""
