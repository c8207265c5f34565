"""Writing answers: what a question is answered does not depend on which others are answered beside it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from medft.config.schema import Config
from medft.data.encode import encode_prompts
from medft.data.tokenizer import Gpt2Tokenizer
from medft.evaluation import generation
from medft.evaluation.generation import Generated, generate, iterate_answers
from medft.model.build import build_model
from medft.runs.splits import read_splits

TOKENIZER = Gpt2Tokenizer()
END, PAD = 7, 0
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 60, "max_position_embeddings": 64}  # fmt: skip


def network(config: Config, seed: int = 1) -> Any:
    return spread(build_model(config.model, None, TOKENIZER, seed))


def spread(built: Any) -> Any:
    for parameter in built.parameters():  # far from uniform, so that greedy choices are clear
        parameter.data.mul_(3)
    return built.eval()


def small(kind: str, seed: int = 0, **options: Any) -> Any:
    """A model of two layers, some of whose answers end."""
    torch.manual_seed(seed)
    built = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL, **options))
    built.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=PAD)
    return spread(built)


def questions(count: int) -> list[list[int]]:
    chance = torch.Generator().manual_seed(3)
    lengths = torch.randint(3, 20, (count,), generator=chance).tolist()
    return [torch.randint(8, 60, (length,), generator=chance).tolist() for length in lengths]


def test_answers_do_not_depend_on_the_batch(tiny: Callable[..., Config]) -> None:
    config = tiny("generation.max_new_tokens=12")
    model = network(config)
    prompts = encode_prompts(read_splits(config).test, TOKENIZER, "alpaca")
    alone = generate(model, prompts, config.generation, 1, seed=0)
    together = generate(model, prompts, config.generation, 4, seed=0)
    assert alone == together
    without_cache = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(12):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        without_cache.append(ids[len(prompt) :])
    assert [answer.token_ids for answer in alone] == without_cache
    assert all(answer.hit_limit for answer in alone)


def test_prompts_near_the_end_of_the_context(tiny: Callable[..., Config]) -> None:
    config = tiny("generation.max_new_tokens=12")
    model = network(config)
    full, near, short = [5] * 1024, [5] * 1020, [5] * 10
    found = generate(model, [short, full, near], config.generation, 8, seed=0)
    assert [len(answer.token_ids) for answer in found] == [12, 0, 4]
    assert found[1].hit_limit
    assert found[2].hit_limit
    assert found[0] == generate(model, [short], config.generation, 8, seed=0)[0]


def test_sampled_answers_follow_the_seed(tiny: Callable[..., Config]) -> None:
    config = tiny("generation=sample", "generation.max_new_tokens=12", "generation.temperature=5.0")
    model = network(config)
    first, same, other = (generate(model, [[5, 6, 7]], config.generation, 1, seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other


def test_an_answer_ends_at_end_of_text(tiny: Callable[..., Config]) -> None:
    config = tiny("generation.max_new_tokens=12")
    model = network(config)
    first = generate(model, [[5, 6, 7]], config.generation, 1, seed=0)[0].token_ids[3]
    model.generation_config.eos_token_id = first
    found = generate(model, [[5, 6, 7], [9, 9]], config.generation, 2, seed=0)[0]
    assert found.token_ids[-1] == first
    assert not found.hit_limit


def most_scattered_token(answers: list[list[int]]) -> int:
    """The token that comes first at the most different places."""
    return max(range(60), key=lambda token: len({ids.index(token) for ids in answers if token in ids}))


KINDS = ("llama", "gpt_neox", "qwen2", "mistral")


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_taken_again(tiny: Callable[..., Config], kind: str) -> None:
    # three places for 24 questions: the columns run out and are made free again, too
    model, prompts = small(kind, **({"sliding_window": 8} if kind == "mistral" else {})), questions(24)
    config = tiny("generation.max_new_tokens=20").generation
    end = most_scattered_token([each.token_ids for each in generate(model, prompts, config, None, seed=0)])
    model.generation_config.eos_token_id = end
    together = generate(model, prompts, config, 3, seed=0)
    assert len({len(each.token_ids) for each in together}) > 3  # they end at different moments
    for prompt, answer in zip(prompts, together, strict=True):
        ids = torch.tensor([prompt])
        alone = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        assert answer.token_ids == alone[0, len(prompt) :].tolist()
        assert answer.hit_limit == (answer.token_ids[-1] != end)
    assert together == generate(model, prompts, config, None, seed=0)


def test_a_repeated_token_is_as_unlikely_as_with_transformers(tiny: Callable[..., Config]) -> None:
    model, prompts = small("llama"), questions(9)
    config = tiny("generation.max_new_tokens=20", "generation.repetition_penalty=1.5").generation
    for prompt, answer in zip(prompts, generate(model, prompts, config, 4, seed=0), strict=True):
        ids = torch.tensor([prompt])
        alone = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, repetition_penalty=1.5
        )
        assert answer.token_ids == alone[0, len(prompt) :].tolist()


def test_what_is_sampled_does_not_depend_on_the_other_questions(tiny: Callable[..., Config]) -> None:
    model, prompts = small("llama"), questions(12)
    config = tiny("generation=sample", "generation.max_new_tokens=20", "generation.temperature=3.0").generation
    together = generate(model, prompts, config, None, seed=0)
    assert together == generate(model, prompts, config, 2, seed=0)
    assert together != generate(model, prompts, config, None, seed=1)
    same = generate(model, [prompts[0]] * 2, config, None, seed=0)
    assert same[0] != same[1]  # each question has chances of its own


def test_sampling_settings_leave_out_what_is_unlikely(tiny: Callable[..., Config]) -> None:
    model, prompts = small("llama"), questions(12)
    greedy = generate(model, prompts, tiny("generation.max_new_tokens=20").generation, None, seed=0)
    for setting in ("generation.top_k=1", "generation.top_p=0.000001", "generation.temperature=0.0001"):
        config = tiny("generation=sample", "generation.max_new_tokens=20", setting).generation
        assert [each.token_ids for each in generate(model, prompts, config, None, seed=0)] == [
            each.token_ids for each in greedy
        ]


def test_tokens_that_rounding_can_turn_are_counted(tiny: Callable[..., Config]) -> None:
    model, prompts = small("llama"), questions(4)
    config = tiny("generation.max_new_tokens=3").generation
    assert not any(each.near_tie for each in generate(model, prompts, config, None, seed=0))
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all tokens are as likely as each other
    assert all(each.near_tie for each in generate(model, prompts, config, None, seed=0))


def test_answers_come_as_they_are_written_and_the_bar_ends_at_its_end(tiny: Callable[..., Config]) -> None:
    model, prompts, told = small("llama"), questions(20), list[int]()
    config = tiny("generation.max_new_tokens=20").generation
    came: list[tuple[int, Generated]] = []
    moments = []
    for each in iterate_answers(model, prompts, config, 4, 0, lambda _, tokens: told.append(tokens)):
        came.append(each)
        moments.append(len(told))
    assert sorted(number for number, _ in came) == list(range(20))
    assert moments[0] < moments[-1]
    assert sum(told) == 20 * 20


def test_places_follow_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("llama")
    column = 2 * 2 * 2 * 8 * 4  # keys and values of 2 layers, 2 heads of 8 numbers of 4 bytes
    free = 0

    def memory() -> Any:
        return type("Memory", (), {"available": free})

    monkeypatch.setattr(generation.psutil, "virtual_memory", memory)
    for free, places in ((0, 1), (4 * column * 50 * 3, 3), (2**40, 64)):  # noqa: B007
        assert generation.count_places(model, 50) == places
