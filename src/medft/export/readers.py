"""What reads an exported model: transformers, llama.cpp's server, Ollama. Each answers with its own code alone."""

import copy
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import torch

from medft.data.example import Example
from medft.errors import InputError, MedftError
from medft.interpreter import make_command

_SECONDS = 600.0  # for one answer
_TOGETHER = 16  # questions that transformers answers at once


@dataclass(frozen=True)
class Reply:
    """What a reader made of a question.

    Attributes:
        prompt: token ids of the question in its prompt.
        answer: token ids of what it wrote; None = it tells the text only.
        text: the same as it gives it.
        is_cut: whether the reader gave up on it.
    """

    prompt: list[int]
    answer: list[int] | None
    text: str
    is_cut: bool = False


class Reader(Protocol):
    """Reads an exported model and answers questions by it, greedily."""

    name: str

    def answer(self, questions: Sequence[Example]) -> Iterator[Reply]:
        """Answer each, in order, as they come."""


def to_turns(question: Example) -> list[dict[str, str]]:
    """A question as a conversation; the input is the system message where the prompt is Alpaca's."""
    system = [{"role": "system", "content": question.input}] if question.input else []
    return [*system, {"role": "user", "content": question.instruction}]


class TransformersReader:
    """transformers' own `generate` on the folder's model, tokenizer, template and generation config."""

    name = "transformers"

    def __init__(self, folder: Path, base: Path | None = None) -> None:
        """Load what is in `folder`: a model, or with `base` the adapters of the model there."""
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **where)
        whole = AutoModelForCausalLM.from_pretrained(
            base or folder, dtype=torch.float32, use_safetensors=True, **where
        )  # fmt: skip
        if base:
            from peft import PeftModel

            whole = PeftModel.from_pretrained(whole, str(folder)).merge_and_unload()
        self.network = whole
        # with adapters alone, how answers are written is in their folder, too
        self.network.generation_config = self._settings = GenerationConfig.from_pretrained(folder)

    @torch.inference_mode()
    def answer(self, questions: Sequence[Example]) -> Iterator[Reply]:
        """Answer each, some at once."""
        settings = self._settings
        ends = {settings.eos_token_id, settings.pad_token_id}
        greedy = copy.deepcopy(settings)
        # what is None here `generate` takes from the network's own
        greedy.do_sample, greedy.temperature, greedy.top_p, greedy.top_k = False, 1.0, 1.0, 50
        greedy.repetition_penalty = 1.0
        for start in range(0, len(questions), _TOGETHER):
            asked = [to_turns(each) for each in questions[start : start + _TOGETHER]]
            ids = [
                self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
                for turns in asked
            ]
            longest = max(map(len, ids))
            rows = torch.tensor([[settings.pad_token_id] * (longest - len(each)) + each for each in ids])
            mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in ids])
            written = self.network.generate(input_ids=rows, attention_mask=mask, generation_config=greedy)
            for prompt, answer in zip(ids, written[:, longest:].tolist(), strict=True):
                own = _cut(answer, ends)
                yield Reply(list(prompt), own, self._tokenizer.decode(own, skip_special_tokens=True))


class LlamaReader:
    """llama.cpp's server on a GGUF file: its tokenizer, its template, its sums."""

    name = "llama.cpp"

    def __init__(self, address: str, most: int) -> None:
        self._client = httpx.Client(base_url=address, timeout=_SECONDS)
        self._most = most

    def answer(self, questions: Sequence[Example]) -> Iterator[Reply]:
        """Answer each, one after the other."""
        for question in questions:
            prompt = self._post("/apply-template", messages=to_turns(question))["prompt"]
            ids = self._post("/tokenize", content=prompt, add_special=True, parse_special=True)["tokens"]
            written = self._post(
                "/completion", prompt=ids, n_predict=self._most, temperature=0, top_k=1, repeat_penalty=1.0,
                return_tokens=True, cache_prompt=False,
            )  # fmt: skip
            yield Reply(ids, written["tokens"], written["content"])

    def _post(self, path: str, **body: Any) -> Any:
        return _post(self._client, path, body, self.name)


@contextmanager
def start_llama(file: Path, tokens: int, most: int) -> Iterator[LlamaReader]:
    """Serve a GGUF file inside this context.

    Args:
        tokens: of the longest prompt and its answer.
        most: of an answer.

    Raises:
        InputError: the server's package is not installed.
        MedftError: llama.cpp does not load the file.
    """
    command = make_command("-m", "medft.export.llama_server", str(file), str(tokens))
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout
        address = process.stdout.readline().strip()
        try:
            if not address.startswith("http"):
                process.wait()
                log.seek(0)
                raise _explain_start(file, log.read())
            yield LlamaReader(address, most)
        finally:
            process.kill()


class OllamaReader:
    """A model of a running Ollama server, asked without any option: what it does is what the Modelfile says."""

    name = "Ollama"

    def __init__(self, host: str, model: str) -> None:
        self._client = httpx.Client(base_url=host, timeout=_SECONDS)
        self._model = model

    def answer(self, questions: Sequence[Example]) -> Iterator[Reply]:
        """Answer each, one after the other."""
        for question in questions:
            asked: dict[str, Any] = {"model": self._model, "prompt": question.instruction, "stream": False}
            if question.input:
                asked["system"] = question.input
            written = told = self._ask(asked)
            if not told["done"]:  # it gave up, as it does at 30 equal tokens in a row, and tells nothing else
                told = self._ask(asked | {"options": {"num_predict": 1}})
            if not told.get("prompt_eval_count"):  # it has read this question last, and does not count it again
                self._ask(asked | {"prompt": "Another one", "options": {"num_predict": 1}})
                told = self._ask(asked | {"options": {"num_predict": 1}})
            prompt = (told.get("context") or [])[: int(told.get("prompt_eval_count") or 0)]
            yield Reply(prompt, None, written["response"], not written["done"])  # its context is a text encoded anew

    def _ask(self, asked: dict[str, Any]) -> Any:
        return _post(self._client, "/api/generate", asked, self.name)


def _cut(ids: Sequence[int], ends: set[int]) -> list[int]:
    return list(ids[: next((place for place, each in enumerate(ids) if each in ends), len(ids))])


def _post(client: httpx.Client, path: str, body: Any, who: str) -> Any:
    try:
        response = client.post(path, json=body)
        response.raise_for_status()
        return response.json()
    except httpx.HTTPStatusError as error:
        raise MedftError(f"{who}: {path} failed ({error.response.text.strip()[:300]})") from None
    except (httpx.HTTPError, ValueError) as error:
        raise MedftError(f"{who}: {path} failed ({type(error).__name__}: {error})") from None


def _explain_start(file: Path, told: str) -> MedftError:
    if "No module named 'xllamacpp'" in told:
        return InputError(
            "a GGUF file is checked on llama.cpp's server: pip install 'medft[gguf]', or verify=false, which says so "
            "on the model card"
        )
    lines = [line for line in told.splitlines() if "error" in line.lower()] or told.splitlines()
    return MedftError(f"{file}: llama.cpp does not load it ({lines[0].strip()[:300] if lines else 'no reason given'})")
