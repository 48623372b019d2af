"""Rate-quality curves and what is read off them: BD-rate, intervals, hulls."""
