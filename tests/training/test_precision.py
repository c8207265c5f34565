"""The device and the number format that a run takes, by the machine, and what of it a resumed run keeps."""

from collections.abc import Callable

import pytest
import torch

from medft.config.schema import Config
from medft.errors import InputError
from medft.inputs import check_machine
from medft.model.hardware import has_bfloat16
from medft.training.precision import check_devices, choose_precision, settle_precision
from medft.training.settling import list_possible


def test_a_gpu_that_is_not_there_is_named(tiny: Callable[..., Config]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="this machine has 0 NVIDIA"):
        check_devices(tiny("trainer=gpu").trainer)


def test_a_gpu_of_apples_that_is_not_there_is_named_before_a_run_is_opened(tiny: Callable[..., Config]) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="^trainer.accelerator=mps: this machine has no GPU of Apple's"):
        check_machine([tiny("trainer.accelerator=mps")])


def test_float16_is_refused_without_a_gpu(tiny: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match="trainer.precision=16-mixed: is for NVIDIA GPUs; use bf16-mixed or 32-true"):
        check_devices(tiny("trainer.precision=16-mixed").trainer)


@pytest.mark.parametrize(
    ("card", "capability", "expected"),
    [
        ("P100", (6, 0), "32-true"),
        ("V100", (7, 0), "16-mixed"),
        ("T4", (7, 5), "16-mixed"),
        ("A100", (8, 0), "bf16-mixed"),
        ("H100", (9, 0), "bf16-mixed"),
    ],
)
def test_sixteen_bits_as_the_card_has_them(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, card: str, capability: tuple[int, int], expected: str
) -> None:
    has_bfloat16.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # by emulation, it says so of a T4
    assert choose_precision(tiny("trainer=gpu", "trainer.precision=auto").trainer) == expected, card
    assert choose_precision(tiny("trainer=gpu", "trainer.precision=64-true").trainer) == "64-true"
    has_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_sixteen_bits_as_the_processor_has_them(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert choose_precision(tiny("trainer=cpu", "trainer.precision=auto").trainer) == expected


def test_what_auto_became_is_a_setting_of_the_run(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    config = tiny("trainer.precision=auto", "dataset.collate=pad")
    settled = settle_precision(config)
    for each in (settled.resolved, settled.logged):
        assert each["trainer"]["precision"] == settled.trainer.precision == "bf16-mixed"
    assert config.trainer.precision == config.resolved["trainer"]["precision"] == "auto"
    assert [each.trainer.precision for each in list_possible(config)] == ["32-true", "bf16-mixed", "16-mixed", "auto"]
    asked = tiny("trainer.precision=64-true", "dataset.collate=pad")
    assert settle_precision(asked) is asked
    assert list_possible(asked) == [asked]
