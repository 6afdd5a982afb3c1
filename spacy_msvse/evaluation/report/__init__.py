"""Scores as Markdown tables and plots, and the model card."""
