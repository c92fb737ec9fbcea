"""Benchmarks, each against a named baseline. Run all with `python -m benchmarks`."""
