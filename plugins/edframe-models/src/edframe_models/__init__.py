"""Trained models for edframe, with their weights."""
