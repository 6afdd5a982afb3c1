"""Scores, and the controls that any claim about pictures needs."""
