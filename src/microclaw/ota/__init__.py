"""Signed updates of boards: manifests, publishing, serving, offers, rollouts (docs/updates.md)."""
