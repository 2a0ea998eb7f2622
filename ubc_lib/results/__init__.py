"""Records of runs, the tidy tables made of them, and what the paper prints."""
