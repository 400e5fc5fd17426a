"""Metrics, intervals, calibration: NumPy and scikit-learn only."""
