"""The prepared rows as a file for other tools, or for `dataset=alpaca`, which splits them anew: to get the same split,
map the columns id and group and set `dataset.split` as before."""

import json
from pathlib import Path

from medft.data.splits import Splits
from medft.files import write_atomically

_COLUMNS = ("instruction", "input", "output", "id", "group", "document")


def export(splits: Splits, target: Path) -> int:
    """Write one JSON object per row with Alpaca columns, split, id, group, document and fingerprint.

    The file is written under another name and renamed when it is complete.

    Returns:
        The number of rows.
    """
    count = 0
    with write_atomically(target) as partial, partial.open("w", encoding="utf-8") as file:
        for name, rows in splits.parts().items():
            for example in rows:
                row = {key: getattr(example, key) for key in _COLUMNS}
                row |= {"split": name, "fingerprint": example.fingerprint()}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count
