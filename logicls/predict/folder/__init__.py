"""Folders of photos and verdicts: prediction, watching, Ray, other thresholds, replay."""
