"""Quantities, numbers in words and times of day in English sentences. Knows no devices."""
