"""A model that goes out of the house: its card, its folder, its way to a hub and back."""
