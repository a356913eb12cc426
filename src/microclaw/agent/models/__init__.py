"""Language models: providers, the chain of fallbacks, the budget."""
