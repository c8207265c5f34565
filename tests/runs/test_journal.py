import pytest

from medft.errors import DamagedFile
from medft.runs.journal import Journal
from medft.runs.state import RunState


def test_what_was_appended_is_read_in_order(tmp_path):
    journal = Journal(tmp_path)
    journal.append("opened", {"name": "fièvre", "user": "me"})
    journal.append("metrics", {"train/loss": float("nan")}, step=3)
    opened, metrics = Journal(tmp_path).read()
    assert (opened.kind, opened.data["name"]) == ("opened", "fièvre")
    assert metrics.step == 3 and metrics.data["train/loss"] != metrics.data["train/loss"]
    assert Journal(tmp_path).read(opened.end) == [metrics] or metrics.end == (tmp_path / "journal.jsonl").stat().st_size


def test_a_line_cut_short_by_a_kill_was_never_written(tmp_path):
    journal = Journal(tmp_path)
    journal.append("tags", {"a": "1"})
    journal.append("tags", {"b": "2"})
    file = tmp_path / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-5])
    assert [each.data for each in Journal(tmp_path).read()] == [{"a": "1"}]
    Journal(tmp_path).append("tags", {"c": "3"})
    assert [each.data for each in Journal(tmp_path).read()] == [{"a": "1"}, {"c": "3"}]


def test_two_writers_one_after_the_other_lose_nothing(tmp_path):
    first, second = Journal(tmp_path), Journal(tmp_path)
    first.append("tags", {"a": "1"})
    second.append("tags", {"b": "2"})
    first.append("tags", {"c": "3"})
    assert [each.data for each in first.read()] == [{"a": "1"}, {"b": "2"}, {"c": "3"}]


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_flipped_bit_is_told(tmp_path, place):
    journal = Journal(tmp_path)
    journal.append("metrics", {"test/loss": 1.25, "baseline/loss": 2.5})
    file = tmp_path / "journal.jsonl"
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match="journal.jsonl"):
        journal.read()


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    import resource
    import signal

    journal = Journal(tmp_path)
    journal.append("tags", {"a": "1"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(OSError, match=r"."):
            journal.append("tags", {"b": "2" * 500})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    journal.append("tags", {"c": "3"})
    assert [each.data for each in Journal(tmp_path).read()] == [{"a": "1"}, {"c": "3"}]


def test_state_after_an_interruption(tmp_path):
    journal = Journal(tmp_path)
    for kind, data in (
        ("opened", {"name": "a run", "user": "me"}),
        ("tags", {"error": "interrupted", "device": "cpu"}),
        ("status", {"status": "KILLED"}),
        ("status", {"status": "RUNNING"}),
        ("untag", {"error": ""}),
    ):
        journal.append(kind, data)
    journal.append("metrics", {"val/loss": 2.0}, 4)
    journal.append("metrics", {"val/loss": 1.0}, 8)
    state = RunState("id")
    for event in journal.read():
        state.apply(event)
    assert (state.name, state.status, state.tags, state.ended) == ("a run", "RUNNING", {"device": "cpu"}, float("inf"))
    assert state.curve("val/loss") == [(4, 2.0), (8, 1.0)] and state.metrics == {"val/loss": 1.0}
