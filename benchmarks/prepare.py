"""Preparing data at scale: rows a second and anonymous memory (RssAnon) from 16 thousand to 1.6 million rows.

    python -m benchmarks prepare --medquad FILE.zip [--rows 16000 160000 1600000] [--repeats 5] [--figure FILE.png]
        [--output table.json]

The source is a Parquet file of MedQuAD's pairs, repeated with altered ids until there are enough. Each measurement is a
process of its own, in turn, and medians are printed:

- medft: everything that a run does before it loads a model: rows read, checked, fingerprinted and kept, split by group,
  tokenized, windows made (`dataset.long_answers=split`), the whole audit;
- datasets: the peer. The same file through `datasets.load_dataset` and one `map` with the same tokenizer, nothing else.

Linux only: RssAnon is read from /proc every 20 ms, so short peaks count.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks._command import measure_alone, take_medians
from benchmarks._figure import draw_bars

SIZES = (16_000, 160_000, 1_600_000)
GROUP_COLUMNS = ["dataset.reader.columns.id=id", "dataset.reader.columns.group=group",
                 "dataset.reader.columns.document=document"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--peer-up-to", type=int, default=160_000, help="rows up to which the peer is measured")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to draw it: a PNG, PDF or SVG")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=2, metavar=("WHO", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        who, file = arguments.child
        print(json.dumps(measured(prepare_with_medft if who == "medft" else prepare_with_datasets, Path(file))))
        return
    lines = []
    with tempfile.TemporaryDirectory(prefix="medft-prepare-") as folder:
        for rows in arguments.rows:
            file = Path(folder) / f"{rows}.parquet"
            write_source(arguments.medquad, rows, file)
            who = ("medft", "datasets")[: 2 if rows <= arguments.peer_up_to else 1]
            found: dict[str, list[dict[str, Any]]] = {each: [] for each in who}
            for _ in range(arguments.repeats):
                for each in who:
                    found[each].append(in_a_process(arguments.medquad, each, file))
                    print(json.dumps({"rows": rows, "who": each, **found[each][-1]}), file=sys.stderr, flush=True)
            lines += [{"rows": rows, "who": each, **take_medians(runs)} for each, runs in found.items()]
            file.unlink()
    report(lines, arguments.output)
    if arguments.figure:
        speeds = {f"{line['who']}, {line['rows']:,} rows": line["rows_per_second"] for line in lines}
        draw_bars(speeds, "Preparing", arguments.figure, "rows")


def write_source(medquad: Path, rows: int, target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from medft.data.example import Example
    from medft.data.readers.medquad import MedQuAD

    found = MedQuAD(path=str(medquad), cache_dir=tempfile.gettempdir()).read()
    pairs = [pair for pair in found if isinstance(pair, Example)]
    names = ("instruction", "output", "group", "document")
    table = pa.table({name: [getattr(pair, name) for pair in pairs] for name in names})
    schema = pa.schema([("id", pa.string()), *((name, pa.string()) for name in names)])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for copy, start in enumerate(range(0, rows, len(pairs))):
            part = table.slice(0, min(len(pairs), rows - start))
            ids = pa.array([f"{pair.id}-{copy}" for pair in pairs[: len(part)]])
            writer.write_table(part.add_column(0, "id", ids))


def in_a_process(medquad: Path, who: str, file: Path) -> dict[str, Any]:
    cache = file.with_suffix(".cache")
    environment = {"MEDFT_CACHE": str(cache), "HF_DATASETS_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    found = measure_alone("benchmarks.prepare", "--medquad", medquad.resolve(), "--child", who, file, **environment)
    shutil.rmtree(cache)
    return found


class Watch:
    """Seconds and highest RssAnon of each stage; a thread looks every 20 ms."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._highest, self._started, self._done = rss_anon(), time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self._highest = max(self._highest, rss_anon())

    def stage(self, name: str) -> None:
        """What came since the last stage is called so."""
        now = rss_anon()
        seconds = time.perf_counter() - self._started
        self.stages[name] = {"seconds": seconds, "peak_mib": max(self._highest, now), "after_mib": now}
        self._highest, self._started = now, time.perf_counter()


def measured(prepare: Any, file: Path) -> dict[str, Any]:
    watch = Watch()
    rows, kept = prepare(file, watch)
    stages = watch.stages
    work = [stage for name, stage in stages.items() if name != "imports"]
    seconds = sum(stage["seconds"] for stage in work)
    peak, after = max(stage["peak_mib"] for stage in work), work[-1]["after_mib"]
    del kept
    found = {"seconds": seconds, "rows_per_second": rows / seconds, "peak_mib": peak, "after_mib": after}
    return {**found, "stages": stages}


def rss_anon() -> float:
    """MiB."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def prepare_with_medft(file: Path, watch: Watch) -> tuple[int, Any]:
    from medft.config.compose import compose_config
    from medft.data.audit import audit
    from medft.data.module import MedicalQA
    from medft.data.tokenizer import Gpt2Tokenizer
    from medft.runs.splits import read_splits

    config = compose_config(["dataset=alpaca", f"dataset.path={file}", "dataset.long_answers=split", *GROUP_COLUMNS])
    watch.stage("imports")
    splits = read_splits(config)
    watch.stage("read and split")
    data = MedicalQA(config, splits, Gpt2Tokenizer())
    watch.stage("tokenize")
    found = audit(config, data)
    watch.stage("audit")
    return splits.available, (data, found)


def prepare_with_datasets(file: Path, watch: Watch) -> tuple[int, Any]:
    from datasets import disable_progress_bars, load_dataset

    from medft.data.encode import format_alpaca_prompt
    from medft.data.example import Example
    from medft.data.tokenizer import Gpt2Tokenizer

    tokenizer = Gpt2Tokenizer()
    disable_progress_bars()
    watch.stage("imports")

    def encode(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        prompts = [format_alpaca_prompt(Example("", "", question, "", "")) for question in batch["instruction"]]
        return {"prompt": tokenizer.encode_batch(prompts), "answer": tokenizer.encode_batch(batch["output"])}

    table = load_dataset("parquet", data_files=str(file), split="train")
    watch.stage("read")
    table = table.map(encode, batched=True, remove_columns=table.column_names)
    watch.stage("tokenize")
    return len(table), table


def report(lines: list[dict[str, Any]], output: Path | None) -> None:
    facts = {name: version(name) for name in ("medft", "datasets", "pyarrow", "tiktoken", "datasketch")}
    facts |= {"python": platform.python_version(), "cores": str(os.cpu_count())}
    print("\n| rows | who | seconds | rows/s | RssAnon after, MiB | peak, MiB |\n|---|---|---|---|---|---|")
    for line in lines:
        print(f"| {line['rows']:,} | {line['who']} | {line['seconds']:.1f} | {line['rows_per_second']:,.0f} | "
              f"{line['after_mib']:.0f} | {line['peak_mib']:.0f} |")  # fmt: skip
    print(json.dumps(facts))
    if output:
        output.write_text(json.dumps({"lines": lines, "facts": facts}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
