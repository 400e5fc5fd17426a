"""Costs of networks: operations, memory, receptive field, time."""
