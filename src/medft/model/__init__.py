"""The model room: where weights come from, how a model is built, adapted, and what it learns from a batch."""
