"""Benchmarks: each measures a promise against a baseline in the same run. Nothing here is imported by the product."""
