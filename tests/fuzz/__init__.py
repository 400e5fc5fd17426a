"""Bytes that grow stranger by the thousand, put before every reader.

``python -m tests.fuzz`` (``make fuzz``) follows the readers' branches with atheris where
that is installed, and else changes known inputs at random.
"""
