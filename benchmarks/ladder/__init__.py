"""The rule of the ladder on many small tasks: how often a rung that it takes helps, does nothing, or harms."""
