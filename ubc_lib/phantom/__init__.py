"""The synthetic cohort: anatomy, growth of a lesion, scanner."""
