"""Exports: a run's model as others read it, checked on what reads it."""
