"""Side-by-side measurements of upswap and its peers; run with ``python -m benchmarks``."""
