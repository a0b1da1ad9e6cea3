"""Uncertainty: calibration, probability of broken rules, out-of-distribution detection, thresholds."""
