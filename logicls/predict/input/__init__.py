"""Input of prediction: list photos, wait until they are complete, decode them."""
