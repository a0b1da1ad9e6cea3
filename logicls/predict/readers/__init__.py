"""What a bundle's own model reads from photos: nano by pointing and words, hub models by text within grammars."""
