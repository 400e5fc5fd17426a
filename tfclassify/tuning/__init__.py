"""Searches: which recipe is the best one within a time, a cost and an honest score."""
