"""Which part of the machine each of several jobs gets, and what is told of a job elsewhere."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from medft.config.compose import compose_config
from medft.config.launchers import RayLauncherConfig
from medft.errors import InputError
from medft.jobs.executors import RayExecutor, list_gpus, make_environments


def test_jobs_share_the_cores_unless_the_user_has_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medft.jobs.executors._cores", lambda: 9)
    alone, *_ = make_environments(1, {"PATH": ""})
    assert "OMP_NUM_THREADS" not in alone
    for n_jobs, share in ((2, "4"), (4, "2"), (20, "1")):
        several = make_environments(n_jobs, {"PATH": ""})
        assert [each["OMP_NUM_THREADS"] for each in several] == [share] * n_jobs
    assert make_environments(4, {"PATH": "", "OMP_NUM_THREADS": "3"})[0]["OMP_NUM_THREADS"] == "3"


def test_each_job_gets_a_gpu_of_its_own_where_there_are_several() -> None:
    slots = make_environments(3, {"CUDA_VISIBLE_DEVICES": "4,6"})
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["4", "6", "4"]
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in make_environments(2, {"CUDA_VISIBLE_DEVICES": "1"})] == ["1", "1"]


def test_a_job_of_several_processes_gets_as_many_gpus() -> None:
    slots = make_environments(3, {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4"}, devices=2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0,1", "2,3", "0,1"]
    assert make_environments(1, {"CUDA_VISIBLE_DEVICES": "5,7"}, devices=2)[0]["CUDA_VISIBLE_DEVICES"] == "5,7"


def test_gpus_are_those_the_driver_names(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n'\n")
    program.chmod(0o755)
    assert list_gpus({"PATH": str(tmp_path)}) == ["0", "1", "2"]
    assert list_gpus({"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}) == []
    assert list_gpus({"PATH": str(tmp_path / "nowhere")}) == []


def test_why_a_node_could_not_start_a_job_is_told(tmp_path: Path) -> None:
    def refuse(job: object) -> None:
        raise InputError("dataset.reader: lab.Letters is not known")

    launcher = compose_config(["launcher=ray"]).launcher
    assert isinstance(launcher, RayLauncherConfig)
    executor = RayExecutor(launcher)
    ray = SimpleNamespace(wait=lambda jobs, timeout: (jobs, []), get=refuse)
    executor.__dict__["_cluster"] = ray, SimpleNamespace(remote=lambda *_: "job")
    outcome = executor.start(tmp_path, 0).poll()
    assert outcome
    assert (outcome.status, outcome.why) == ("failed", "dataset.reader: lab.Letters is not known")
