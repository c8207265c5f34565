"""The training room: one call that fits a model and hands it back with what that cost."""
