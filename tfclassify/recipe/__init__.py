"""The recipe: schema, loading, reference text."""
