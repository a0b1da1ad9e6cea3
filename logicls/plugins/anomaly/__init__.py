"""Experts: what good photos look like, patch by patch, and so what no rule names."""
