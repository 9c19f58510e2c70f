"""Benchmarks: figures, never assertions. ``python -m benchmarks`` prints a table."""
