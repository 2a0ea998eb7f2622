"""From files on disk to training arrays: readers, volumes, slices, halves."""
