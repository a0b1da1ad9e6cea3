"""Photos on their way in: listed, waited for until they are complete, decoded."""
