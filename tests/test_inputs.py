"""A size beyond the bundled sample takes MedQuAD: which runs, from where, and what is said where it cannot be had."""

import hashlib
import http.server
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import medft
from medft.cli.main import main
from medft.config.compose import CHOSEN, compose_config
from medft.runs.local_run import LocalRun
from medft.runs.provenance import config_hash
from tests.composed import TINY
from tests.processes import call, free_port
from tests.processes import medft as medft_command

BEYOND = "dataset.size=211"  # the sample has 210 rows
WHY = f"{BEYOND} is more than the 210 rows of the bundled sample"
DOCUMENT = """<Document id="{0}" source="Test"><Focus>Disease {0}</Focus><QAPairs>
<QAPair pid="1"><Question qid="{0}-1">What is disease {0} ?</Question><Answer>An illness, number {0}.</Answer></QAPair>
</QAPairs></Document>"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A zip in MedQuAD's layout with 230 answered questions."""
    file = tmp_path / "served" / "medquad.zip"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(230):
            archive.writestr(f"MedQuAD-master/1_Test_QA/{number:04}.xml", DOCUMENT.format(number))
    return file


class Server:
    """An archive's server on loopback, which answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.body, self.stated, self.asked = b"", None, 0
        self.goes_on, self.ranges = True, list[str | None]()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                body, stated, there = server.body, server.stated, self.headers.get("Range")
                server.ranges.append(there)
                if there and server.goes_on:
                    first = int(there.removeprefix("bytes=").removesuffix("-"))
                    body, stated = body[first:], len(body) - first
                self.send_response(206 if there and server.goes_on else 200)
                if stated is not None:
                    self.send_header("Content-Length", str(stated))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/medquad.zip"

    def serve(self, body: bytes, stated: int | None = None) -> None:
        """What to send, and as how many bytes it is announced."""
        self.body, self.stated = body, stated


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setenv("MEDFT_DATA", made.url)
    with made.http:
        threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.http.shutdown()


def key(url: str) -> str:
    """The name under which a download is cached."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`medft` in this process: exit code, output, errors."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return run_command


OWN = "hydra.searchpath=[file://{folder}]"
CHOICES = {
    "": "sample",
    "dataset.size=210": "sample",
    BEYOND: "medquad",
    f"{BEYOND} dataset=auto": "medquad",
    f"{BEYOND} dataset=sample": "sample",
    f"{BEYOND} experiment=demo": "sample",  # which chooses it
    f"{BEYOND} dataset=alpaca dataset.path=my.csv": "alpaca",
    f"{OWN} experiment=large": "medquad",
    f"{OWN} experiment=chosen": "sample",
}


@pytest.mark.parametrize("line", CHOICES, ids=lambda line: line or "nothing")
def test_who_names_no_data_and_asks_for_more_than_the_sample_gets_medquad(line: str, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    head = "# @package _global_\n"
    (tmp_path / "experiment" / "large.yaml").write_text(f"{head}dataset: {{size: 1100}}\n")
    chosen = f"{head}defaults: [override /dataset: sample]\ndataset: {{size: 1100}}\n"
    (tmp_path / "experiment" / "chosen.yaml").write_text(chosen)
    config = compose_config(line.format(folder=tmp_path).split())
    assert config.dataset.name == CHOICES[line]
    assert (CHOSEN in config.tracking.tags) == (CHOICES[line] == "medquad")


def test_it_is_the_same_run_as_with_the_data_set_named(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = medft.compose(BEYOND), medft.compose(BEYOND, "dataset=medquad")
    assert (one.tracking.tags, other.tracking.tags) == ({CHOSEN: WHY}, {})
    assert config_hash(one.resolved) == config_hash(other.resolved)
    assert one.dataset == other.dataset
    monkeypatch.setenv("MEDFT_DATA", "elsewhere.zip")
    moved = medft.compose(BEYOND)
    assert moved.logged["dataset"]["path"] == str(Path("elsewhere.zip").absolute())
    assert config_hash(moved.resolved) == config_hash(one.resolved), "where data lie is not what they are"


COMMANDS = ["train", "train -m seed=1,2", "plan", "fetch", "data audit", "data preview", "search search.trials=1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_medquad_each_command_ends_in_one_line_and_leaves_nothing(
    command: str, typed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}/medquad.zip"
    monkeypatch.setenv("MEDFT_DATA", url)
    code, out, err = typed(*command.split(), BEYOND)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {WHY}, so medquad is needed: MEDFT_DATA={url}: cannot be downloaded (")
    assert err.endswith("with MEDFT_DATA=FILE in the environment, or with dataset=medquad dataset.path=FILE\n")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{key(url)}.zip.lock"]


def test_the_archive_is_downloaded_once_and_read_from_the_cache_then(
    server: Server,
    release: Path,
    typed: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = release.read_bytes()
    server.serve(body, len(body))
    cached = tmp_path / "cache" / "medquad" / f"{key(server.url)}.zip"
    taken = f"data: medquad from {cached}, as {WHY}; dataset=NAME takes others\n"
    code, out, _ = typed("fetch", BEYOND)
    assert (code, server.asked) == (0, 1)
    assert out.startswith(f"downloaded {server.url}\n{taken}")
    assert "data medquad: 230 rows\n" in out
    server.serve(b"down")
    code, out, _ = typed("fetch", BEYOND)
    assert (code, server.asked) == (0, 1)
    assert out.startswith(taken)
    with monkeypatch.context() as patch:  # it is MedQuAD, wherever it was downloaded from
        patch.delenv("MEDFT_DATA")
        assert typed("fetch", BEYOND)[1].startswith(taken)
        assert typed("fetch", "dataset=medquad")[1].startswith(f"data: medquad from {cached}\n")
    cached.write_bytes(body[: len(body) // 2])  # half of it: a disk was full, or somebody copied it badly
    server.serve(body, len(body))
    assert typed("fetch", BEYOND)[0] == 0
    assert (server.asked, cached.read_bytes()) == (2, body)


BROKEN = {
    "cut off without a length": (lambda body: (body[:1000], None), "what came is no whole zip file"),
    "a page of a proxy": (lambda body: (b"<html>log in</html>", 19), "what came is no whole zip file"),
    "endless": (lambda body: (bytes(3_000_000), None), "larger than 1.0 MB"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_download_leaves_nothing_in_the_cache(
    name: str,
    server: Server,
    release: Path,
    typed: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, reason = BROKEN[name]
    monkeypatch.setattr("medft.data.readers.download._LARGEST", 1_000_000)
    server.serve(*answer(release.read_bytes()))
    code, out, err = typed("fetch", BEYOND)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(f"cannot be downloaded \\(({reason})", err)
    assert [path.suffix for path in release.parents[1].glob("cache/medquad/*")] == [".lock"]


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("other", [False, True])
def test_a_download_that_broke_off_goes_on_where_it_ended(
    goes_on: bool,
    other: bool,
    server: Server,
    release: Path,
    typed: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    body = release.read_bytes()
    server.serve(body[:1000], len(body))
    code, out, err = typed("fetch", BEYOND)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(
        r"\((IncompleteRead|only 1000 of \d+ bytes came).*1,000 bytes are kept, and a new try goes on\)", err
    )
    server.goes_on = goes_on
    if other:  # there is another release by now, of which the first part is none
        with zipfile.ZipFile(release, "w") as archive:
            archive.writestr("MedQuAD-master/1_Test_QA/0.xml", DOCUMENT.format("x" * 2000))
            for number in range(1, 230):
                archive.writestr(f"MedQuAD-master/1_Test_QA/{number:04}.xml", DOCUMENT.format(number))
        body = release.read_bytes()
    server.serve(body, len(body))
    assert typed("fetch", BEYOND)[0] == 0
    assert server.ranges == [None, "bytes=1000-", *([None] if goes_on and other else [])]
    assert (tmp_path / "cache" / "medquad" / f"{key(server.url)}.zip").read_bytes() == body
    assert not list((tmp_path / "cache" / "medquad").glob("*.part"))


def test_medft_data_is_a_directory_or_a_zip_or_a_folder_with_the_zip_in_it(
    release: Path, typed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unpacked = tmp_path / "gepackt, 解压"
    with zipfile.ZipFile(release) as archive:
        archive.extractall(unpacked)
    for named, read in ((release, release), (release.parent, release), (unpacked, unpacked)):
        monkeypatch.setenv("MEDFT_DATA", str(named))
        code, out, _ = typed("fetch", BEYOND)
        assert code == 0
        assert out.startswith(f"data: medquad from {read}, as {WHY}; ")
        assert "data medquad: 230 rows\n" in out
    monkeypatch.setenv("MEDFT_DATA", release.name)  # from where the command is started
    monkeypatch.chdir(release.parent)
    assert f"from {release}, as" in typed("fetch", "dataset.size=220")[1]


def test_medft_data_that_is_none_is_one_line_that_names_it(
    typed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "my.csv").write_text("question,answer\nQ,A\n")
    table = f"neither a directory nor a whole zip file; for a table: dataset=alpaca dataset.path={tmp_path}/my.csv"
    problems = {"no.zip": "no such file", "empty": "no MedQuAD XML file in it; name", "my.csv": table}
    for name, problem in problems.items():
        monkeypatch.setenv("MEDFT_DATA", str(tmp_path / name))
        code, out, err = typed("train", BEYOND)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: MEDFT_DATA={tmp_path / name}: {problem}")
    assert compose_config([]).dataset.name == "sample"  # it is not asked for


def test_more_than_medquad_has_says_so(
    release: Path, typed: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDFT_DATA", str(release))
    code, _, err = typed("data", "export", "to=x.jsonl", "dataset.size=500")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: dataset.size=500: dataset=medquad has 230 rows")


def test_cfg_shows_what_will_be_run(typed: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = typed("train", "--cfg", "job", BEYOND)
    assert code == 0
    assert yaml.safe_load(out)["dataset"]["name"] == "medquad"


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_a_sweep_has_one_data_set_and_is_known_again(server: Server, release: Path, tmp_path: Path) -> None:
    body = release.read_bytes()
    server.serve(body, len(body))
    command = ("-m", *TINY, "dataset.size=100,211", "dataset.split.test=8", "dataset.split.validation=8")
    code, out, err = call(*command)
    assert code == 0, err
    assert out.count(WHY) == 1
    assert server.asked == 1
    runs = [LocalRun(path.parent) for path in (tmp_path / "root" / "outputs").glob("*/*-sweep/*/run.json")]
    assert len(runs) == 2
    for run in runs:
        logged = yaml.safe_load((run.folder / "config.yaml").read_text())
        assert (logged["dataset"]["name"], logged["dataset"]["path"]) == ("medquad", server.url)
        assert run.state.tags[CHOSEN] == WHY
        assert run.state.tags["command"].endswith(" dataset=medquad")
    code, out, err = medft_command("compare", "parent=last")
    assert (code, "size=211" in out) == (0, True), err
    server.serve(b"down")
    code, out, _ = call(*command)
    assert (code, out.count(": done after ")) == (0, 0)
    again = [LocalRun(path.parent).run_id for path in (tmp_path / "root" / "outputs").glob("*/*-sweep/*/run.json")]
    assert sorted(again) == sorted(run.run_id for run in runs)
