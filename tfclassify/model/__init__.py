"""Classifier assembly, freezing and the bundle that a run ships."""
