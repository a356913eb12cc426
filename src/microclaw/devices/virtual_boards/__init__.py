"""Virtual boards as processes that the host starts, and the one on which a program is tried."""
