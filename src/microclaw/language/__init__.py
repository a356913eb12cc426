"""Quantities, numbers in words, times of day and spelling in English sentences. Knows no devices."""
