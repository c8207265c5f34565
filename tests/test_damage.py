"""Files that medft writes and reads itself, damaged at random: none is used as if it were whole.

`MEDFT_TEST_DAMAGES=200` does so more often than CI does; `pytest -s` prints what came of it, by file.
"""

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from medft import experiment
from medft.errors import NOT_AS_WRITTEN, DamagedFile, MedftError
from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judging.judge_run import VerdictCache, open_cache
from medft.experiment import run
from medft.files import is_as_written, read_json
from medft.model.sources import gguf
from medft.runs.database import prepare_database
from medft.runs.local_run import LocalRun
from medft.training.checkpoints import find_checkpoint
from tests.composed import TINY, composed
from tests.evaluation.judging.helpers import scripted

pytestmark = pytest.mark.slow
DAMAGES = int(os.environ.get("MEDFT_TEST_DAMAGES", "56"))
Outcome = str
Read = Callable[[], Outcome]
UNSEEN = "USED IN SILENCE"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run, one that was interrupted after training, and their caches."""
    place = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDFT_ROOT", str(place / "root"))
        patch.setenv("MEDFT_CACHE", str(place / "cache"))
        run(composed(*TINY, f"paths.output_dir={place / 'whole'}"))
        fit = experiment.fit

        def stop(*arguments: object, **settings: object) -> None:
            fit(*arguments, **settings)  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(experiment, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            run(composed(*TINY, "seed=3", f"paths.output_dir={place / 'cut'}"))
        yield place


def told(read: Callable[[], object]) -> Outcome:
    """What comes of reading a file that is to be refused."""
    try:
        read()
    except MedftError as error:
        assert "\n" not in str(error)
        return "refused, told"
    return UNSEEN


def read_checkpoint(folder: Path) -> Outcome:
    try:
        found = find_checkpoint(folder)
    except DamagedFile:
        return "refused, told"
    return UNSEEN if found is None or found.name == "last.ckpt" else "the one before is taken, told"


def read_journal(folder: Path, whole: LocalRun) -> Outcome:
    before, after = whole.state, LocalRun(folder)
    try:
        state = after.state
    except MedftError:
        return "refused, told"
    if state.status != "FINISHED":
        return "the run counts as unfinished"
    same = (state.metrics, state.tags, state.params) == (before.metrics, before.tags, before.params)
    return "nothing was changed by it" if same else UNSEEN


def read_database(file: Path) -> Outcome:
    if prepare_database(file):
        for aside in file.parent.glob("mlflow.set-aside-*"):
            aside.unlink()
        return "set aside, told"
    with closing(sqlite3.connect(file)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return "not seen by sqlite's integrity check"


ITEMS = [JudgeItem(f"q{number}", "", f"e{number}", f"a{number}") for number in range(40)]


def fill_verdicts(file: Path) -> None:
    cache = VerdictCache(file, scripted(lambda *_: 0))
    for number, item in enumerate(ITEMS):
        cache.keep(item, 0, Verdict("scored", float(number), reply=f"score: {number}"))
    cache.close()


def read_verdicts(file: Path) -> Outcome:
    cache = open_cache(scripted(lambda *_: 0), file.parents[1])
    if cache is None:
        return "judged without it, told"
    found = [cache.find(item, 0) for item in ITEMS]
    cache.close()
    if any(each and each.score != number for number, each in enumerate(found)):
        return UNSEEN
    return "asked for anew, told" if None in found else "nothing was changed by it"


def damage(content: bytes, kind: str, chance: random.Random) -> bytes:
    """A copy with one bit flipped, its end cut off, a block of zeros, or two blocks swapped."""
    at, changed = chance.randrange(len(content)), bytearray(content)
    if kind == "bit":
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "zeros":
        changed[at : at + 64] = bytes(len(changed[at : at + 64]))
    else:
        other = chance.randrange(len(content))
        length = min(512, len(content) - max(at, other), abs(at - other))
        changed[at : at + length] = content[other : other + length]
        changed[other : other + length] = content[at : at + length]
    return bytes(changed)


def list_readers(place: Path, patch: pytest.MonkeyPatch) -> dict[Path, Read]:
    """Each kind of file with how medft reads it."""
    whole, cut, cache = place / "whole", place / "cut", place / "cache"
    readers: dict[Path, Read] = {
        whole / name: lambda name=name: told(lambda: LocalRun(whole).artifact(name))  # type: ignore[misc]
        for name in ("config.yaml", "predictions.jsonl", "audit.json", "split.json", "report.html")
    }
    readers[whole / "run.json"] = lambda: told(lambda: LocalRun(whole))
    readers[whole / "journal.jsonl"] = lambda: read_journal(whole, LocalRun(place / "untouched"))
    readers[whole / "model" / "model.safetensors"] = lambda: told(lambda: LocalRun(whole).artifact("model"))
    readers[cut / "checkpoints" / "last.ckpt"] = lambda: read_checkpoint(cut)
    best = cut / "checkpoints" / "best.safetensors"
    readers[best] = lambda: UNSEEN if is_as_written(best) else "refused, told"
    tokens = next((cache / "data").glob("tokens-*.arrow"))
    readers[tokens] = lambda: UNSEEN if is_as_written(tokens) else "made anew"
    baseline = next((cache / "baselines").glob("*.json"))
    readers[baseline] = lambda: told(lambda: read_json(baseline))
    readers[place / "root" / "mlruns" / "mlflow.db"] = lambda: read_database(place / "root" / "mlruns" / "mlflow.db")
    verdicts = cache / "judge" / "verdicts.sqlite"
    fill_verdicts(verdicts)
    readers[verdicts] = lambda: read_verdicts(verdicts)

    source = place / "model.gguf"
    source.write_bytes(b"GGUF")
    patch.setattr(gguf, "_write", lambda file, model, target: write_converted(target))
    model = composed(*TINY).model
    converted = gguf.convert(source, model, cache) / "model.safetensors"
    original = converted.read_bytes()

    def read_converted() -> Outcome:
        same = gguf.convert(source, model, cache) / "model.safetensors"
        return "converted anew, told" if same.read_bytes() == original else UNSEEN

    readers[converted] = read_converted
    assert LocalRun(whole).state.status == "FINISHED"
    return readers


def write_converted(target: Path) -> None:
    target.mkdir()
    (target / "model.safetensors").write_bytes(random.Random(7).randbytes(4000))


def test_no_damaged_file_is_used_as_if_it_were_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDFT_ROOT", str(place / "root"))
    monkeypatch.setenv("MEDFT_CACHE", str(place / "cache"))
    shutil.copytree(place / "whole", place / "untouched", dirs_exist_ok=True)
    readers, chance, counts = list_readers(place, monkeypatch), random.Random(5), Counter[tuple[str, str, str]]()
    for number in range(DAMAGES):
        file = list(readers)[number % len(readers)]
        kind = ("bit", "cut", "zeros", "swap")[number // len(readers) % 4]
        good = file.read_bytes()
        while (bad := damage(good, kind, chance)) == good:
            pass
        file.write_bytes(bad)
        try:
            outcome = readers[file]()
        finally:
            file.write_bytes(good)
        name = (
            "tokens.arrow" if file.suffix == ".arrow" else "baseline.json" if "baselines" in file.parts else file.name
        )
        counts[name, kind, outcome] += 1
    with capsys.disabled():
        print()
        for (name, outcome), count in sorted(sum_up(counts).items()):
            print(f"  {name:<20}{outcome:<40}{count:4}")
    assert sum(counts.values()) == DAMAGES
    assert [each for each in counts if each[2] == UNSEEN] == []
    err = capsys.readouterr().err
    assert NOT_AS_WRITTEN in err
    assert "Traceback" not in err


def name_kind(file: Path) -> str:
    """What a file is called, without the hash of what is in it."""
    kinds = {"baselines": "a baseline", "data": "cached tokens", "models": "a converted model", "model": "the model"}
    return next((kind for folder, kind in kinds.items() if folder in file.parts[-3:]), file.name)


def sum_up(counts: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    total = Counter[tuple[str, str]]()
    for (name, _, outcome), count in counts.items():
        total[name, outcome] += count
    return total
