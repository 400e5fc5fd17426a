"""Smaller and faster models, and what they cost."""
