"""Model for edframe: a mixer and a U-Net that correct a baseline density."""
