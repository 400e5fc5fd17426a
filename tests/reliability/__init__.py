"""What is promised of interrupted trainings and of equal answers, tried out.

``python -m tests.reliability`` prints how many kills and faults were survived.
"""
