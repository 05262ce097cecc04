"""Benchmarks of fsat and its peers on few-shot sets. They are not installed, so run them from the repository's root."""
