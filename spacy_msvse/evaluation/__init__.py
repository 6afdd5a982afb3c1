"""Scores, controls, calibration, statistics, reports and experiments."""
