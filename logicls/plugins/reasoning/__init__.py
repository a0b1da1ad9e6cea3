"""A second look at what the first one left open, and the controls that it is measured against."""
