"""Dataset for edframe: densities in Gaussian cube and XSF files."""
