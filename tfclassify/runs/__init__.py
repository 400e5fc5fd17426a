"""The run folder: directory, journal, environment."""
