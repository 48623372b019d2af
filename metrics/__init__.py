"""Turns pictures into numbers: what a machine still sees of the original."""
