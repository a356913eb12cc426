"""One class for each way into a board."""
