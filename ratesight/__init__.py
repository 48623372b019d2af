"""ratesight."""
