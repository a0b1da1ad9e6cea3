"""Optional retrievers, experts and reasoners, selected by name. Only the command line imports this package."""
