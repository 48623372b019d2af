"""Searches encoder settings, compares them, recommends and reports."""
