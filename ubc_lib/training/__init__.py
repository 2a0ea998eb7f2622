"""One run, from slices to a record."""
