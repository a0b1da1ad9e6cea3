"""Folders of photos and of their verdicts: gone through, watched, shared out, settled anew, replayed."""
