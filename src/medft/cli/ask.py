"""`medft ask run=<id> "question"`: ask the model that a run has trained."""

from medft.console import say, warn
from medft.errors import InputError
from medft.runs.open import open_run, split_arguments

_USAGE = 'medft ask run=<id> "question" [generation.max_new_tokens=128 ...]'


def ask(argv: list[str]) -> int:
    """Print the answer; returns the exit code."""
    run_id, overrides, questions = split_arguments(argv, _USAGE)
    if len(questions) != 1 or not questions[0].strip():
        raise InputError(f"usage: {_USAGE}")
    run = open_run(run_id, overrides)
    folder = run.tracker.artifact("model")

    from medft.data.example import Example
    from medft.data.prompt import decode_answer, encode_prompts
    from medft.data.tokenizer import load_tokenizer
    from medft.evaluation.generate import generate
    from medft.model.build import build_model

    config, model = run.config, run.config.model
    tokenizer = load_tokenizer(model.tokenizer, folder, model.end_token_id, model.pad_token_id)
    network = build_model(model, folder, tokenizer, config.seed)
    prompts = encode_prompts([Example("ask", "ask", questions[0], "", "")], tokenizer, config.dataset.prompt)
    answer = generate(network, prompts, config.generation, 1, config.seed)[0]
    say(decode_answer(answer.token_ids, tokenizer))
    if answer.hit_limit:
        warn(f"the answer ran into generation.max_new_tokens={config.generation.max_new_tokens}")
    return 0
