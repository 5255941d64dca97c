"""The configuration of an experiment: its keys, the sources of their values, validation."""
