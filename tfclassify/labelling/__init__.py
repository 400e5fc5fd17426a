"""Labelling jobs: vocabulary, sessions, agreement, suggestions and label issues."""
