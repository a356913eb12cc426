"""The common part of all compilers: processes with limits, and a cache of their results. Knows no language."""
