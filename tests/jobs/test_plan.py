"""What a command line stands for, and what is refused before anything runs."""

import pytest

from medft.errors import InputError
from medft.jobs.plan import plan

KEYS = ["seed=1,2", "dataset.max_length=128,256"]


def test_every_combination_is_a_job() -> None:
    planned = plan([*KEYS, "model=gpt2"], multirun=True)
    assert planned.is_sweep
    assert planned.jobs == [
        [f"seed={seed}", f"dataset.max_length={length}", "model=gpt2"] for seed in (1, 2) for length in (128, 256)
    ]
    assert planned.keys == ["seed", "dataset.max_length"]
    assert planned.fixed == ["model=gpt2"]


def test_one_run_is_no_sweep() -> None:
    planned = plan(["seed=1"], multirun=False)
    assert (planned.is_sweep, planned.jobs) == (False, [["seed=1"]])


def test_an_experiment_can_be_a_sweep_without_m_and_the_command_line_wins() -> None:
    planned = plan(["experiment=loss_on_response", "seed=7"], multirun=False)
    assert planned.is_sweep
    assert planned.keys == ["dataset.loss_on"]
    assert [job[:2] for job in planned.jobs] == [[f"dataset.loss_on={each}", "seed=7"] for each in ("response", "all")]
    assert "experiment=loss_on_response" in planned.fixed


def test_more_values_are_the_same_sweep_and_other_settings_are_not() -> None:
    first = plan(KEYS, multirun=True).identity
    assert plan(["dataset.max_length=128,256,512", "seed=1,2,3"], multirun=True).identity == first
    assert plan([*KEYS, "hydra.launcher.n_jobs=4", "sweep.fresh=true"], multirun=True).identity == first
    for other in ("dataset.size=100", "judge=none", "tracking.experiment_name=x", "trainer.max_epochs=1,2"):
        assert plan([*KEYS, other], multirun=True).identity != first


REFUSED = {
    "dataset.max_length=256,512,9999": r"job 2 \(dataset.max_length=9999\): dataset.max_length=9999",
    "dataset.max_length=interval(1,2)": r"dataset.max_length: intervals are for `medft search`",
    "tracking.experiment_name=a,b": "tracking.experiment_name: cannot be swept",
    "hydra.launcher.n_jobs=0": "hydra.launcher.n_jobs: must be greater than or equal to 1",
    "hydra.launcher.time_limit=-1": "hydra.launcher.time_limit: must be greater than 0",
    "hydra.launcher.n_jops=1": "hydra.launcher.n_jops: no such key",
    "trainer=ddp": "trainer=ddp cannot be swept",
    "trainer.resume_from=x.ckpt": "trainer.resume_from cannot be used in a sweep",
    "dataset.sise=1,2": "dataset.sise: no such key",
}


@pytest.mark.parametrize(("override", "message"), REFUSED.items())
def test_what_cannot_be_swept_is_one_line(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        plan([override], multirun=True)
    assert "\n" not in str(caught.value)
