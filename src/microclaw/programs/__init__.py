"""Programs of boards: built, proved, changed."""
