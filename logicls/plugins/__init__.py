"""Retrievers, experts and reasoners, found by name; nothing but the command line imports them."""
