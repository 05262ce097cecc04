"""Benchmarks of fsat and its peers on few-shot sets. They are not installed: run them from the repository's root."""
