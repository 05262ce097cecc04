"""Pure numerics: arrays in, arrays out. Nothing here knows a file, the store, or a workflow engine."""
