"""How far a predicted density is from its reference, over samples and with intervals."""
