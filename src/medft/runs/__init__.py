"""Tracking: one MLflow run per training, and everything that is logged to it."""
