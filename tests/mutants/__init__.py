"""Small errors in the science, each of which a test has to notice."""
