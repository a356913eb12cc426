"""The bench: what the parts of a device show, hands on those of a virtual board, and what was recorded there."""
