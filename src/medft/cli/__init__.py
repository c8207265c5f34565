"""The commands: train, judge, ask."""
