"""Verdicts on measured points, confidence intervals, and the comparison of results."""
