"""Benchmarks of fsat and its peers on few-shot sets. The package is not installed, so run it from the repository's root."""
