"""The host's state in SQLite or PostgreSQL, behind one set of statements."""
