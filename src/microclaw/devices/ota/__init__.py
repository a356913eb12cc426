"""Signed updates of boards' firmware: manifests, keys, payloads, releases, offers, rollouts (docs/protocols/ota.md)."""
