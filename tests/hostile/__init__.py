"""Input that is broken or means harm, and what the readers make of it.

``python -m tests.hostile`` reads all of it and prints what became of each kind.
"""
