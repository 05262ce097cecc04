"""Faults of the machine: calls of fsat are killed, refused, copied or doubled, and what is lost is counted."""
