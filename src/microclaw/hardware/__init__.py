"""Facts about boards and chips, each with its source."""
