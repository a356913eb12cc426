"""Connections to the outside, of this host and of its tasks: the allowlist, the proxy, secrets."""
