"""From initial weights to trained ones: the loop, fits in closed form, checkpoints."""
