"""A person's own words as a sentence of the grammar: things with their pins, what happens, what is to be done, when."""
