"""Reasoners: re-inspection of photos that the first pass left uncertain, and the controls they are compared with."""
