"""How sure a result is, and what may be said of it."""
