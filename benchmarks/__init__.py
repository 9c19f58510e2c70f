"""Benchmarks: figures, never assertions about speed. ``python -m benchmarks`` prints a table."""
