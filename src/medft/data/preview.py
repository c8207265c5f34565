"""Prints samples as the model reads them, with the learned tokens marked."""

from medft.console import say, say_marked
from medft.data.module import MedicalQA


def preview(data: MedicalQA, split: str, rows: int) -> None:
    """Print every sample of the first rows of a split.

    Tokens that are learned are green in a terminal and stand between ⟦ and ⟧ elsewhere.
    """
    samples, examples = data.samples[split], data.splits.parts()[split]
    say(f"{split}: {len(examples):,} rows, {len(samples):,} samples; learned tokens are green, or between ⟦ and ⟧")
    for number in range(min(rows, len(examples))):
        windows = samples.get_row_samples(number)
        total = len(data.tokens[split][number].answer)
        learned = f"{sum(window.supervised for window in windows)} tokens learned, the answer has {total}"
        say(f"\n{'─' * 8} row {number + 1}: {examples[number].id} ({examples[number].group})")
        say(f"{learned}; {len(windows)} sample(s)")
        for place, window in enumerate(windows, 1):
            say(f"{'·' * 8} sample {place} of {len(windows)}: {len(window.input_ids)} tokens")
            border = len(window.input_ids) - window.supervised
            say_marked(*map(data.tokenizer.decode_with_special, (window.input_ids[:border], window.input_ids[border:])))
