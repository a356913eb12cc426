"""Signed updates of boards' firmware: manifests, keys, payloads, releases, offers (docs/protocols/ota.md)."""
