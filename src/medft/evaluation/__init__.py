"""The evaluation room: the loss and the answers of a model, their metrics, and judges."""
