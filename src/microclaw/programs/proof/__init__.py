"""Proof: what a program must do, its trial on a virtual board, and the verdict on both."""
