"""Scores, weights and standard errors of many domains: from a thousand to a million."""
