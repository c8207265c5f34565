"""The Modelfile of a model for Ollama: the trained prompt as a Go template, where answers end, how they are written.

https://github.com/ollama/ollama/blob/main/docs/modelfile.md and template.md
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medft.data.template import render_chats
from medft.errors import ModelError
from medft.export.hf_folder import TEMPLATE, split_alpaca_prompt
from medft.model.build import get_context_length
from medft.runs.trained_model import TrainedModel

_USER, _OTHER, _SYSTEM, _ANSWER = "\x00user\x00", "\x00other\x00", "\x00system\x00", "\x00answer\x00"


@dataclass(frozen=True)
class Modelfile:
    """What a Modelfile says besides the weights."""

    template: str
    parameters: dict[str, Any]
    license: str

    def render(self, weights: str) -> str:
        """The file, `FROM` these weights."""
        lines = [f"FROM {weights}", f'TEMPLATE """{self.template}"""']
        for key, value in self.parameters.items():
            for each in value if isinstance(value, list) else [value]:
                lines.append(f"PARAMETER {key} {json.dumps(each, ensure_ascii=False)}")
        return "\n".join([*lines, f'LICENSE """{self.license}"""']) + "\n"


def make_modelfile(model: TrainedModel, folder: Path, license: str) -> Modelfile:
    """Make the Modelfile of a model.

    Args:
        folder: with its tokenizer and chat template, as `write_prompt` writes them.

    Raises:
        ModelError: its prompt cannot be said as Ollama's templates are.
    """
    end = model.tokenizer.decode([model.tokenizer.end_token_id], with_special=True)
    template = _make_alpaca(model) if model.config.dataset.prompt == "alpaca" else _translate(folder)
    if '"""' in template:
        raise ModelError('to=ollama: the prompt has """ in it, which a Modelfile cannot say; take to=gguf')
    parameters: dict[str, Any] = {
        "stop": [end],
        "num_ctx": get_context_length(model.network),
        "temperature": 0.0,
        "top_k": 1,
        "repeat_penalty": 1.0,  # Ollama's own default is 1.1
        "num_predict": model.config.generation.max_new_tokens,
    }
    return Modelfile(template, parameters, license)


def _make_alpaca(model: TrainedModel) -> str:
    """The Alpaca prompt; the system message is the input of an instruction."""
    (before, after), (first, between, last) = split_alpaca_prompt()
    beginning = _quote(model.tokenizer.decode(model.tokenizer.beginning, with_special=True))
    whole = f"{_quote(first)}{{{{ .Prompt }}}}{_quote(between)}{{{{ .System }}}}{_quote(last)}"
    alone = f"{_quote(before)}{{{{ .Prompt }}}}{_quote(after)}"
    return f"{beginning}{{{{ if .System }}}}{whole}{{{{ else }}}}{alone}{{{{ end }}}}{{{{ .Response }}}}"


def _translate(folder: Path) -> str:
    """A chat template in Go's language, from what it makes of three conversations."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    source = (folder / TEMPLATE).read_text(encoding="utf-8")
    user, answer, other, system = (
        {"role": role, "content": text}
        for role, text in (("user", _USER), ("assistant", _ANSWER), ("user", _OTHER), ("system", _SYSTEM))
    )

    chats = [[user], [user, answer, other], [system, user]]
    alone, later, told_first = render_chats(source, tokenizer.special_tokens_map, chats)
    before, _, after = alone.partition(_USER)
    told, _, rest = later.partition(_ANSWER)
    between, _, end = rest.partition(_OTHER)
    first, _, given = told_first.partition(_SYSTEM)
    then, _, tail = given.partition(_USER)
    if told != f"{before}{_USER}{after}" or end != after or tail != after:
        raise ModelError(
            "to=ollama: the chat template treats later turns or a system message in a way that is not translated for "
            "Ollama; take to=gguf"
        )
    given = f"{_quote(first)}{{{{ $.System }}}}{_quote(then)}"
    start = f"{{{{ if $.System }}}}{given}{{{{ else }}}}{_quote(before)}{{{{ end }}}}"
    question = (
        f"{{{{ if $first }}}}{start}{{{{ $first = false }}}}{{{{ else }}}}{_quote(between)}{{{{ end }}}}"
        f"{{{{ .Content }}}}{_quote(after)}"
    )
    return (
        f'{{{{ $first := true }}}}{{{{ range .Messages }}}}{{{{ if eq .Role "user" }}}}{question}'
        f'{{{{ else if eq .Role "assistant" }}}}{{{{ .Content }}}}{{{{ end }}}}{{{{ end }}}}'
    )


def _quote(text: str) -> str:
    """A text that stays as it is in a template."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if "{{" in text or "}}" in text else text
