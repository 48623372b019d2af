"""Encodes measured by a machine, once each: here, side by side, on workers."""
