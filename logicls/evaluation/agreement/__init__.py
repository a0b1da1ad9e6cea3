"""Attribute agreement study (AIAG, Measurement Systems Analysis): a bundle and people decide the same photos."""
