"""Boards as data, with the sources of each fact. Talks to no board."""

from microclaw.hardware.boards.reader import board_ids, load_board

__all__ = ["board_ids", "load_board"]
