"""Models, losses, data and statistics of the Unet-boosted classifier reproduction."""
