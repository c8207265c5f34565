"""The tracking room: one MLflow run per training, and everything that goes into it."""
