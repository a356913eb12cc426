"""The page for browsers: static files on the public API."""
