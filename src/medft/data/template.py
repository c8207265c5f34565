"""A chat template is a program that came with a model: it is rendered in a process of its own, with limits."""

import json
import subprocess
from collections.abc import Mapping, Sequence

from medft.errors import ModelError
from medft.interpreter import make_command

Conversation = Sequence[Mapping[str, str]]  # the role and the content of each turn
_SECONDS = 20.0  # of which starting the process takes one
_MEMORY = 512 * 2**20  # bytes, above what the process has when it begins
_LONGEST = 2**20  # characters; real ones have some hundred
_HINT = "it came with the model; fix it there, or set dataset.prompt=alpaca"


def render_chat(template: str, special_tokens: Mapping[str, str], turns: Conversation) -> str:
    """The text that a chat template makes of a conversation, see `render_chats`."""
    return render_chats(template, special_tokens, [turns])[0]


def render_chats(template: str, special_tokens: Mapping[str, str], chats: Sequence[Conversation]) -> list[str]:
    """The texts that a chat template makes of conversations, up to where the assistant speaks, as transformers has it.

    Raises:
        ModelError: the template is wrong, or takes more time, memory or text than a template needs.
    """
    asked = json.dumps([template, dict(special_tokens), [[dict(turn) for turn in chat] for chat in chats]])
    try:
        done = subprocess.run(
            make_command("-c", _PROGRAM, str(_MEMORY), str(_LONGEST)),
            input=asked, capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model's chat template did not end within {_SECONDS:g} s: {_HINT}") from None
    if done.returncode == _TOO_LARGE:
        raise ModelError(
            f"the model's chat template needs more than {_MEMORY // 2**20} MiB, or makes more than {_LONGEST} "
            f"characters: {_HINT}"
        )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"])[-1]
        raise ModelError(f"the model's chat template cannot be rendered ({why[:300]}): {_HINT}")
    return [str(text) for text in json.loads(done.stdout)]


_TOO_LARGE = 3
# The limit of memory is set when all is imported. Windows has none, and the limits of time and text hold there.
_PROGRAM = f"""\
import json, sys
from transformers.utils.chat_template_utils import render_jinja_template
template, special, chats = json.load(sys.stdin)
try:
    import resource
    pages = int(open("/proc/self/statm").read().split()[0])
    most = pages * resource.getpagesize() + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
except (ImportError, OSError, ValueError):
    pass
try:
    texts, _ = render_jinja_template(chats, chat_template=template, add_generation_prompt=True, **special)
except MemoryError:
    sys.exit({_TOO_LARGE})
except RecursionError:
    sys.exit("it calls itself without end")
except Exception as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
if max(map(len, texts)) > int(sys.argv[2]):
    sys.exit({_TOO_LARGE})
print(json.dumps(texts))
"""
