"""Prediction, test-time views, submissions."""
