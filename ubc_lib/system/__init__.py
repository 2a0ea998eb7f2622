"""Nothing of the field: files, progress, seeds, errors, signals."""
