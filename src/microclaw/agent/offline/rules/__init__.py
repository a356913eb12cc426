"""Wishes with two clauses as programs: a rule is read from a sentence, and written as C or Python with its proof."""
