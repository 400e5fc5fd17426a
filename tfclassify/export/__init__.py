"""The model in other forms, each proved in a fresh process before it is written."""
