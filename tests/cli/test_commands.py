"""The commands as people type them: what they print and what they exit with."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medft import __version__
from medft.cli import commands, train
from medft.cli.main import main
from medft.config.compose import compose_config
from medft.config.paths import conf_dir
from medft.files import write_json
from medft.inputs import check_machine
from medft.report.run_page import print_next_steps
from medft.runs.local_run import LocalRun
from tests.composed import TINY
from tests.finished import Finished, mlflow_id
from tests.processes import call, medft, start

UTF8 = (
    "data.csv: read as utf-8 with a comma between cells; to set it by hand: dataset.reader.encoding=NAME "
    "dataset.reader.delimiter=comma|semicolon|tab|pipe\n"
)
Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """`medft` and its arguments, run in this process: exit code, output, errors."""
    monkeypatch.setattr(sys, "argv", ["medft"])  # Hydra's way in replaces it

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return run_command


@pytest.mark.parametrize(
    "override", ["dataset.sise=3", "++dataset.nonsense=1", "dataset.size=abc", "dataset.size=-1", "model=gpt9"]
)
def test_wrong_settings_are_one_line_and_2(override: str, typed: Typed) -> None:
    code, out, err = typed("train", override)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith(f"error: {override.strip('+').split('=')[0]}")


@pytest.mark.slow
def test_the_program_itself_ends_so() -> None:
    code, out, err = call("dataset.sise=3")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: dataset.sise")


def test_wrong_settings_of_a_later_job_stop_a_sweep_before_it_starts(tmp_path: Path, typed: Typed) -> None:
    code, out, err = typed("train", "-m", "dataset.max_length=64,5000")
    assert (code, out) == (2, "")
    assert err.startswith("error: job 1 (max_length=5000): dataset.max_length=5000: model=gpt2-nano reads 1024")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "error: dataset.path=data.csv: no such file"),
        (
            "question,reply\nQ,A\n",
            "error: data.csv:2: no column looks like the answer (there are: 'question', 'reply')",
        ),
        ("instruction,output\n", "error: data.csv: there is no row in it"),
        ("instruction,output\nQ,A\nQ2,\n", "error: data.csv:3: column 'output' is empty"),
    ],
)
def test_wrong_data_is_one_line_and_2(tmp_path: Path, typed: Typed, content: str | None, line: str) -> None:
    if content is not None:
        (tmp_path / "data.csv").write_text(content)
    code, out, err = typed("train", "dataset=alpaca", "dataset.path=data.csv", "judge=none")
    assert code == 2
    assert out.removeprefix("reading data\n").removeprefix(UTF8) == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


# each is said before a model is looked for, or anything is left behind
MISTAKES = {
    "dataset.path=mine.csv": "dataset.path=mine.csv: dataset=sample has its own rows and reads no file; take "
    "dataset=alpaca dataset.path=mine.csv (dataset=diseases, dataset=medquad read files, too)",
    "dataset.path=mine.zip": "dataset.path=mine.zip: dataset=sample has its own rows and reads no file; take "
    "dataset=medquad ",
    "dataset.path=users.csv": "dataset.path=users.csv: dataset=sample has its own rows and reads no file; take "
    "dataset=diseases ",
    "dataset=alpaca dataset.path=users.csv dataset.reader.path=x.csv": "dataset.reader.path=x.csv: its place is ",
    "dataset=alpaca dataset.path=users.csv dataset.reader.hub_split=test": "dataset.reader.hub_split=test: only hub:",
    "dataset=alpaca dataset.path=users.csv dataset.reader.sheet=A": "dataset.reader.sheet=A: users.csv has none",
    "dataset=alpaca dataset.path=users.csv dataset.reader.columns.output=answr": "users.csv:2: no column 'answr'",
    "model=smollm2-135m model.shape.n_layer=1": "model.shape.n_layer: what is chosen has no such key; model=",
    "dataset.reader.columns.output=answer": "dataset.reader.columns.output: what is chosen has no such key; "
    "dataset=alpaca has",
    "dataset=sample dataset.size=211": "dataset.size=211: dataset=sample has 210 rows, all of which dataset.size=null "
    "takes; dataset=medquad has thousands",
    "model=gpt2 model.source=/no/where": "model.source=/no/where: no such directory",
    "evaluation.probes=mine.yaml": "evaluation.probes=mine.yaml: no such file",
    "trainer.resume_from=a/b/last.ckpt": "trainer.resume_from=a/b/last.ckpt: no such checkpoint",
    "--config-dir /no/where": "hydra.searchpath (--config-dir): /no/where: no such folder",
    "--model gpt2": "--model: no such option; settings are KEY=VALUE: model=VALUE",
    "--lr=1": "--lr=1: no such option; settings are KEY=VALUE: lr=1",
    "-m dataset=alpaca dataset.path=users.csv,mine.csv": "dataset.path=mine.csv: no such file",
    "-m dataset=alpaca,sample dataset.path=users.csv": "job 1 (dataset=sample): dataset.path=users.csv: ",
    "experiment=common --cfg job": "experiment=common: no such option; there are dataset_size, demo",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_natural_mistake_is_said_at_once(
    line: str, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users.csv").write_text("question,answer,source,focus_area\nQ,A,S,F\n")
    monkeypatch.setattr(train, "_run", None)
    code, out, err = typed("train", *line.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {MISTAKES[line]}")
    assert [path.name for path in tmp_path.iterdir()] == ["users.csv"]


def test_help_and_completion_offer_no_base_of_a_group(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "common" not in typed("train", "--help")[1].partition("config, each key")[0]
    monkeypatch.setenv("COMP_LINE", "train.py dataset=")
    monkeypatch.setenv("COMP_POINT", str(len("train.py dataset=")))
    code, out, _ = typed("train", "--shell-completion", "query=bash")
    assert (code, out.split()) == (
        0,
        [f"dataset={name}" for name in ("alpaca", "auto", "diseases", "medquad", "sample")],
    )


@pytest.mark.slow
def test_settings_are_checked_before_torch_is_imported() -> None:
    code = "import sys; from medft.inputs import check_inputs; from medft.jobs.plan import plan; "
    code += "check_inputs(plan(['model=gpt2-medium'], False).configs); "
    code += "print('torch' in sys.modules, 'mlflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out == "False False\n"


@pytest.mark.parametrize("command", [["train"], ["train", "-m", "seed=1,2"], ["plan"]])
def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(
    command: list[str], typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("medft.runs.splits.read_splits", lambda *_: pytest.fail("read data"))
    code, _, err = typed(*command, "trainer=gpu")
    assert (code, err) == (2, "error: trainer.devices=1: this machine has 0 NVIDIA GPU(s); use trainer=auto\n")
    check_machine([compose_config(["trainer=gpu", "launcher=slurm"])])  # another machine has them


def test_cfg_shows_the_config_only_if_it_is_right(typed: Typed) -> None:
    code, out, _ = typed("train", "--cfg", "job", "dataset.size=7")
    assert code == 0
    assert "  size: 7\n" in out
    for line in ("dataset.size=1100 --cfg job model=gpt2", "--help dataset.size=1100"):
        code, out, err = typed("train", *line.split())
        assert code == 0, err
        assert "name: medquad\n" in out, "as it would be run"
    code, out, err = typed("train", "-m", "seed=1,2", "--help")
    assert code == 0 and "name: sample\n" in out
    code, out, err = typed("train", "-m", "seed=1,2", "--cfg", "job")
    assert (code, out) == (2, "") and "--cfg job prints the config of one run: leave out -m" in err
    code, out, err = typed("train", "resume=last", "--cfg", "job")
    assert (code, out) == (2, "") and "resume=last: it goes on as it was" in err
    code, out, err = typed("train", "--cfg", "job", "dataset.size=-1")
    assert (code, out, err.count("\n")) == (2, "", 1)


COMMANDS = [
    *([command.name] for command in commands.COMMANDS if command.keys != "raw" and not command.commands),
    *([group.name, command.name] for group in commands.COMMANDS for command in group.commands),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_each_command_has_help(command: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, flag]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: medft {' '.join(command)} ")
    assert err == ""
    assert max(map(len, out.splitlines())) <= 120


def test_help_names_all_commands_and_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["help"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert all(f"\n    {command.name} " in out for command in commands.COMMANDS)
    for arguments in (["data"], ["data", "--help"]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert all(f"\n    {name} " in out for name in ("preview", "audit", "export"))
    assert main(["compare", "--help"]) == 0
    out = capsys.readouterr().out
    assert "\n  answers=6 " in out
    assert "questions shown with everybody's answers (default 6)" in out
    assert "(same or shared, default same)" in out
    assert "(default true)" in out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"medft {__version__}\n"


def test_help_of_train_lists_what_there_is_to_choose(typed: Typed) -> None:
    code, out, err = typed("train", "--help", "model=gpt2-medium", "seed=7")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["judge/prompt", "notebook,", "plain,", "rubric"] in lines
    for group in ("dataset", "experiment", "model", "finetune", "launcher"):
        [names] = [line[1:] for line in lines if line[:1] == [group]]
        files = {file.stem for file in (conf_dir() / group).glob("*.yaml")} - {"common"}
        assert {name.rstrip(",") for name in names} == files
    assert "\n  seed: 7\n" in out
    assert "\n    name: gpt2-medium\n" in out
    assert typed("train", "--help", "model=gpt9")[0] == 2


@pytest.mark.parametrize("command", ["train", "search"])
def test_train_and_search_are_given_their_arguments_as_they_are(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(f"medft.cli.train.{command}", lambda argv: given.append(argv) or 3)
    for argv in (["-m", "a=1,2", "+b.c='x y'", "~d", "--cfg", "job"], ["--help"], ["-h", "x=-1"], [], ["--version"]):
        assert main([command, *argv]) == 3
        assert given.pop() == argv


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["tarin"],
            "no command 'tarin' (did you mean train?); there are train, plan, search, data, runs, models, judge",
        ),
        (["nothing"], "no command 'nothing'; there are train,"),
        (["data", "adit"], "no command data 'adit' (did you mean audit?); there are preview, audit, export"),
        (["runs", "claen"], "no command runs 'claen' (did you mean clean?); there are list, clean"),
        (["runs", "limit=0"], "limit=0: must be a number from 1"),
        (["runs", "limit=3", "--fialed", "limit=4"], "no option --fialed (did you mean --failed?)"),
        (["runs", "--failed=true"], "--failed takes no value"),
        (["runs", "failed=true"], "failed: no such key (did you mean --failed?)"),
        (["runs", "clean", "x"], "what is 'x'? usage: medft runs clean [--failed]"),
        (["--hlep"], "no option --hlep (did you mean --help?)"),
        (["judge", "--hepl"], "no option --hepl (did you mean --help?)"),
        (["compare", "abcdef", "--metric=loss"], "no option --metric (did you mean metric?); keys are given"),
        (["compare", "abcdef", "metrc=loss"], "metrc: no such key (did you mean metric?); there are parent,"),
        (["compare", "abcdef", "x=loss"], "x: no such key; there are parent, filter, to, reference, questions, seeds,"),
        (["compare", "abcdef", "seeds=alone"], "seeds=alone: must be together or apart"),
        (["compare", "abcdef", "baseline=no"], "baseline=no: must be true or false"),
        (["compare", "abcdef", "answers=many"], "answers=many: must be a number from 0"),
        (["report", "last"], "what is 'last'? usage: medft report parent=PARENT [KEY=VALUE ...]"),
        (["data", "preview", "row=3"], "row: no such key (did you mean rows?)"),
        (["judge"], "usage: medft judge run=RUN [judge=ollama]"),
        (["judge", "run="], "usage: medft judge run=RUN"),
        (["judge", "run=1", "what"], "what is 'what'? usage: medft judge run=RUN"),
        (["ask", "run=1"], 'usage: medft ask run=RUN "QUESTION"'),
        (["ask", "run=1", " "], 'usage: medft ask run=RUN "QUESTION"'),
        (["ask", "run=1", "What?", "Why?"], "what is 'Why?'? usage: medft ask"),
        (["ask", "question"], "usage: medft ask run=RUN"),
        (["ask", "run=nothing", "is pH=7 well?"], "run=nothing: no such run in sqlite:///"),
        (["train", "dataset.split.from_run=nope"], "dataset.split.from_run=nope: no such run in sqlite:///"),
        (["fetch", "what"], "what is 'what'? usage: medft fetch [KEY=VALUE ...]"),
    ],
)
def test_wrong_input_is_one_line_and_2(
    arguments: list[str], line: str, ready_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_help_imports_no_library_that_takes_long() -> None:
    typed = [["--help"], ["train", "--help"], ["search", "--help"], ["data", "--help"], *([*c, "-h"] for c in COMMANDS)]
    code = f"""
import sys
from medft.cli.main import main
for arguments in {typed}:
    code = main(arguments)
    slow = {{"torch", "mlflow", "transformers", "pandas", "matplotlib", "optuna", "ray", "submitit"}}
    loaded = sorted(slow & sys.modules.keys())
    print(arguments[:-1], code, loaded, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr.splitlines() == [f"{arguments[:-1]} 0 []" for arguments in typed]


def test_a_run_is_asked_by_any_of_its_names(
    finished: Callable[..., Finished], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished().copied_to(tmp_path)
    capsys.readouterr()  # whoever asks for it first has it made
    answers = set()
    for name in ("last", run.run_id[:6], run.run_id):
        assert main(["ask", f"run={name}", "What is gout?", "generation.max_new_tokens=3"]) == 0
        out, err = capsys.readouterr()
        answers.add(out)
        assert err.startswith(f"run=last: run {run.run_id} (" if name == "last" else "warning: the answer ran into")
        assert "the answer ran into generation.max_new_tokens=3" in err
    assert len(answers) == 1
    assert main(["compare", "last", f"to={tmp_path}"]) == 0
    told = capsys.readouterr()
    assert told.out.endswith(f"read:          {tmp_path / 'compare.html'}\nresults:       {tmp_path}\n")
    assert run.run_id in (tmp_path / "compare.csv").read_text()


def test_the_last_lines_of_a_run_are_commands_that_work(
    finished: Callable[..., Finished], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def paste(what: str) -> tuple[list[str], str]:
        [line] = [line for line in lines if line.startswith(what)]
        words = shlex.split(line.split(":", 1)[1], comments=True)
        assert words[0] == "medft"
        assert main(words[1:]) == 0
        return words[1:], capsys.readouterr().out

    run = finished().copied_to(tmp_path)
    local, config = LocalRun(run.config.paths.output), run.config
    print_next_steps(local, config, was_judged=False)
    lines = capsys.readouterr().out.splitlines()
    assert f"compare:       medft compare RUN {run.run_id[:8]}   # RUN: of medft runs" in lines
    words, out = paste("ask it:")
    assert (words[:2], bool(out.strip())) == (["ask", f"run={run.run_id[:8]}"], True)

    folder = shutil.copytree(local.folder, tmp_path / "earlier")
    card = {**local.card, "run_id": "e" * 32, "output_dir": str(folder)}
    write_json(folder / "run.json", {key: value for key, value in card.items() if key != "checksum"})
    local.index.add(replace(local.make_entry(), run_id="e" * 32, folder=str(folder)))
    print_next_steps(local, config, was_judged=True)
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("judge later") for line in lines)
    words, out = paste("compare:")
    assert words == ["compare", "eeeeeeee", run.run_id[:8]]
    assert "results:" in out

    elsewhere = config.model_copy(update={"paths": config.paths.model_copy(update={"root_dir": f"{tmp_path}/my runs"})})
    (tmp_path / "my runs").symlink_to(tmp_path / "root")
    print_next_steps(local, elsewhere, was_judged=True)  # the words of a folder that is not the usual one
    assert "paths.root_dir" not in capsys.readouterr().out  # a link to that one is
    elsewhere = config.model_copy(update={"paths": config.paths.model_copy(update={"root_dir": f"{tmp_path}/a b"})})
    print_next_steps(local, elsewhere, was_judged=True)
    assert f"'What causes gout?' 'paths.root_dir={tmp_path}/a b'\n" in capsys.readouterr().out


def test_a_job_without_a_model_and_a_sweep_say_what_to_do(
    finished: Callable[..., Finished], tmp_path: Path, typed: Typed
) -> None:
    made = finished().copied_to(tmp_path)
    run = LocalRun(made.config.paths.output)
    shutil.rmtree(run.folder / "model")
    code, _, err = typed("ask", f"run={run.run_id}", "What is gout?")
    assert (code, err) == (2, f"error: run={run.run_id}: it kept no model (tracking.save_model=none); train it with "
                              "tracking.save_model=best\n")  # fmt: skip
    sweep = LocalRun.create(made.config, tmp_path / "sweep", "lengths", {"medft.kind": "sweep"})
    code, _, err = typed("ask", f"run={sweep.run_id[:8]}", "What is gout?")
    assert (code, err) == (2, f"error: run={sweep.run_id[:8]}: it is a sweep; choose one of its jobs: medft runs "
                              "--jobs\n")  # fmt: skip
    run.set_tags({"medft.parent": sweep.run_id, "sweep.label": "seed=1", "command": "medft train seed=1"})
    run.index.add(run.make_entry())
    code, _, err = typed("judge", f"run={sweep.run_id}", "judge=ollama")
    assert (code, f"choose one of its jobs, such as run={run.run_id} (seed=1): medft runs" in err) == (2, True)
    code, _, err = typed("ask", f"run={run.run_id}", "What is gout?")
    assert code == 2
    assert "with tracking.save_model=best only; alone it keeps one: medft train seed=1\n" in err


def test_a_run_can_be_trained_and_asked(tmp_path: Path, typed: Typed, ready_store: Path) -> None:
    code, out, err = typed("train", *TINY)
    assert code == 0, err
    (folder,) = (file.parent for file in (tmp_path / "root" / "outputs").rglob("run.json"))
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    assert f"results:       {folder} (run {run_id})" in out
    assert (folder / "report.html").stat().st_size > 10_000
    code, out, err = typed("ask", f"run={run_id}", "What is gout?", "generation.max_new_tokens=3")
    assert code == 0, err
    assert out.strip()
    assert "ran into generation.max_new_tokens=3" in err


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_train_then_ask_then_judge(tmp_path: Path, ollama: str) -> None:
    """One command judges ten answers with a real Ollama server; the finished run can be asked and judged again."""
    tiny = [each for each in TINY if not each.startswith(("judge", "dataset.split.test"))]
    real = ["judge=ollama", "judge.model=tiny-judge", "judge.max_context=2048", "judge.controls=2"]
    code, out, err = call(*tiny, "dataset.split.test=10", *real, OLLAMA_HOST=ollama, PYTHONPATH="")
    assert code == 0, err
    run_json = next((tmp_path / "root" / "outputs").rglob("run.json"))
    run_id = json.loads(run_json.read_text())["run_id"]
    rows = [json.loads(line) for line in (run_json.parent / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 10
    for row in rows:
        for side in ("test", "baseline"):
            verdict = row["verdicts"]["ollama"][side]
            assert (verdict["score"] is None) == (verdict["failure"] is not None)
            assert verdict["score"] is None or 0 <= verdict["score"] <= 100
    assert sum(row["verdicts"]["ollama"]["test"]["score"] is not None for row in rows) > 0

    code, out, err = medft("ask", f"run={run_id}", "What is gout?", "generation.max_new_tokens=3")
    assert code == 0, err
    assert "ran into generation.max_new_tokens=3" in err

    code, out, err = medft("judge", f"run={run_id}", "judge.name=again", "judge.limit=2", OLLAMA_HOST=ollama)
    assert code == 0, err
    assert "judge/again/score" in out
    judged = [json.loads(line) for line in (run_json.parent / "predictions.jsonl").read_text().splitlines()]
    assert [set(row["verdicts"]) for row in judged[:3]] == [{"ollama", "again"}, {"ollama", "again"}, {"ollama"}]

    code, _, err = medft("judge", f"run={run_id}", "judge=none")
    assert (code, "judge=none" in err) == (2, True)
    code, _, err = medft("judge", f"run={run_id}", "judge=auto", "judge.host=http://127.0.0.1:9")
    assert (code, "nothing was judged" in err) == (1, True)
    code, _, err = medft("ask", f"run={run_id}", "What is gout?", "generation.nonsense=3")
    assert (code, err) == (2, "error: generation.nonsense: no such key in the run's config\n")
    code, _, err = medft("ask", "run=nothing", "What is gout?")
    assert (code, err.startswith("error: run=nothing: no such run in sqlite:///")) == (2, True)


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_a_sweep_runs_every_job_keeps_no_weights_and_survives_a_failure(tmp_path: Path) -> None:
    code, out, err = call("-m", *TINY, "dataset.size=40,15", "dataset.max_length=64,128")
    assert code == 0, err
    assert out.count(": done after ") == 4
    assert out.startswith("the jobs keep no model that can be asked (tracking.save_model=best: all of them do)\n")
    for what in ("compare:", "report:"):
        [line] = [line for line in out.splitlines() if line.startswith(what)]
        code, told, err = medft(*shlex.split(line.split(":", 1)[1])[1:])
        assert (code, "results:" in told) == (0, True), err
    [line] = [line for line in told.splitlines() if line.startswith("read:")]
    [renew] = re.findall("is renewed by `medft (.*)`", Path(line.split()[1]).read_text())
    [parent] = re.findall(r"report:.* (parent=\w+)", out)
    assert parent in renew, "other sweeps of these keys have the same name"
    code, _, err = medft(*shlex.split(renew))
    assert code == 0, err
    assert len(list((tmp_path / "root" / "outputs").rglob("*/*/*/run.json"))) == 4
    assert not list((tmp_path / "root" / "outputs").rglob("*.safetensors"))

    code, out, err = call("-m", *TINY, "dataset.split.test=7,400")
    assert code == 2
    assert "FAILED: test=400: InputError: " in out
    assert "test=7: done after " in out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_130_and_killed_and_can_go_on(tmp_path: Path, number: signal.Signals) -> None:
    command = [*TINY, "trainer.max_epochs=12", "trainer.val_checks_per_epoch=1"]
    process = start(*command)
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("step ")
        if seen == 2:  # the checkpoint of the first validation is written by then
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    run_json = next((tmp_path / "root" / "outputs").rglob("run.json"))
    import mlflow

    facts = json.loads(run_json.read_text())
    client = mlflow.MlflowClient(facts["tracking_uri"])
    assert client.get_run(mlflow_id(run_json.parent)).info.status == "KILLED"
    if number == signal.SIGTERM:
        return  # going on is the same after both

    last = run_json.parent / "checkpoints" / "last.ckpt"
    code, _, err = call(*command, f"trainer.resume_from={last}", "seed=9")
    assert (code, "the interrupted run had other settings" in err) == (2, True)
    code, out, err = call(*command, f"trainer.resume_from={last}")
    assert code == 0, err
    assert f"results:       {run_json.parent} (run {facts['run_id']})" in out
    assert client.get_run(mlflow_id(run_json.parent)).info.status == "FINISHED"
    assert not last.exists()


def test_a_working_directory_that_was_deleted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code, out, err = typed("train", "seed=1")
    assert (code, out) == (2, "")
    assert err == "error: the directory that you are in was deleted: cd to another one\n"
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "lines"),  # help is shorter than what a pipe holds: it is whole before anybody can stop reading
    [(("train", "--help"), 0), (("train", *TINY, "dataset.batch_size=2"), 1)],
    ids=["help", "run"],
)
def test_output_that_nobody_reads_ends_quietly(tmp_path: Path, command: tuple[str, ...], lines: int) -> None:
    process = start(*command, program="medft")
    assert process.stdout and process.stderr
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    with process.stderr as errors:
        err = errors.read()
    assert process.wait(timeout=120) == 141, err
    assert "Traceback" not in err
    assert "error" not in err
    for run in (tmp_path / "root" / "outputs").rglob("run.json"):
        assert LocalRun(run.parent).state.status == "KILLED"
