"""Pure numerics: arrays in, arrays out. Nothing here uses files, the store or a workflow engine."""
