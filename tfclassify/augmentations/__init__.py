"""Augmentations: what each one is called, takes, draws and does. Free of TensorFlow."""
