"""Settings none of which is better in rate, quality and speed at once."""
