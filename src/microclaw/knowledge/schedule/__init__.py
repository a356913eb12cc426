"""What is done later: times of day and calendars, what is due, how it is run and told."""
