"""medft: config-driven, tracked, comparable fine-tuning of small language models on medical questions."""

__version__ = "0.1.0"
