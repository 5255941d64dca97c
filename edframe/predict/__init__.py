"""Trained models applied to structures without a density: prediction, ensembles, novelty."""
