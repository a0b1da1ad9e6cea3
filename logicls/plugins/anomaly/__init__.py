"""Experts: anomaly detection by patch features, for defects that no rule names."""
