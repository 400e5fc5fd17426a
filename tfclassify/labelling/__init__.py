"""Labelling sessions: who labels what, how well labellers agree, and which labels look wrong."""
