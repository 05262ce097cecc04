"""fsat and its peers on few-shot sets, side by side. Not installed: run it from the repository's root."""
