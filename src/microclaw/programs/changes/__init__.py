"""Programs on devices: built, checked, tried, installed, proved by their pins, undone. Acts on boards and on many."""
