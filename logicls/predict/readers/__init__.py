"""Readers: how the model of a bundle answers the questions about photos, nano by detection, hub models by text."""
