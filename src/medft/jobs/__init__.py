"""Sweeps: many runs of one question, each in a process of its own; one that fails stops no other."""
