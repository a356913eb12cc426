"""Boards: their registry, the ways to them, firmware and readings."""
