"""Reproduces the published tables. Imports ratesight, is never imported by it."""
