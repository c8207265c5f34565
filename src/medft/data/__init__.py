"""The data room: readers, splits, prompts, tokenizing, collation, and the LightningDataModule."""
