"""The command line: the declared acts as commands, and the few that are written by hand."""
