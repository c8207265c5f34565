"""The prepared rows as a file for other tools, or for `dataset=alpaca` again.

Read again it is split anew, so the columns id and group must be mapped, and `dataset.split` set as before."""

import json
from pathlib import Path

from medft.data.example import Example
from medft.data.splits import Splits
from medft.files import write_atomically


def export(splits: Splits, target: Path) -> int:
    """Write one JSON object a row: Alpaca columns, split, id, group, document, fingerprint; returns how many.

    The file has its name only when it is whole.
    """
    count = 0
    with write_atomically(target) as partial, partial.open("w", encoding="utf-8") as file:
        for name, rows in splits.parts().items():
            for example in rows:
                file.write(json.dumps(_row(name, example), ensure_ascii=False) + "\n")
                count += 1
    return count


def _row(split: str, example: Example) -> dict[str, str]:
    own = {key: getattr(example, key) for key in ("instruction", "input", "output", "id", "group", "document")}
    return own | {"split": split, "fingerprint": example.fingerprint()}
