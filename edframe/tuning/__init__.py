"""Search for the options with which an experiment validates best. Optuna is imported on use only."""
