"""Where weights come from: one file a kind of `model.source`, each ending in a local directory of safetensors."""
