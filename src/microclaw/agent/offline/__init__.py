"""Sentences without a model: templates, what was learned, and the dialogue that acts on them."""
