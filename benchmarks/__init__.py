"""What the embedding job costs, each measurement against a named baseline: `python -m benchmarks`."""
