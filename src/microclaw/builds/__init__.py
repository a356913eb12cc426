"""What every compiler of programs needs: processes with limits, and a cache of their results. Knows no language."""
