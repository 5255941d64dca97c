"""edframe from Python: what ``import edframe`` offers, each imported on use."""
