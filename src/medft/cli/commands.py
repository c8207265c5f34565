"""The table of commands. A new command is an entry here and a function in a module of `medft.cli`."""

from medft.cli.parser import Command, Option

_RUN = "RUN is `last` (the newest finished run), an id or its first 6 or more characters, or a run's name."
_PARENT = "PARENT is `last` (the newest finished sweep), an id or its first 6 or more characters, or a sweep's name."
_PLACES = "tracking.uri=... and paths.root_dir=... say where runs are tracked, as for medft train."
_CONFIG = "Every other KEY=VALUE overrides the config, as for medft train; the files under conf/ explain each key."
_LOGGED = "Every other KEY=VALUE overrides the config that the run has logged."

_CLEAN = """\
Goes: what the cache can make anew, folders of starts that failed, files of runs that were deleted in MLflow, what
killed processes left. Stays: whatever a process runs in, finished runs, what MLflow has not yet, verdicts of judges.
"""

_CHAT = """\
Answers go to stdout, all else to stderr; questions may come from a pipe, one a line. /help lists what can be typed
besides questions: /settings, /save FILE, /new, /quit."""

_SERVE = """\
The page loads nothing from anywhere else. Marks (which of two answers is better, not knowing which is which) go to the
run: human_marks.jsonl, the metrics human/*, report.html."""

_TO = "where compare.html and compare.csv go (default: outputs/compare/<date>/<time>)"
_MARGIN = Option(
    "margin", "0.01", "also ask which are as good as the reference, or not worse, within so much of the metric"
)
_SAME = Option(
    "questions", "shared", "compare runs of different test questions on those they share", "same", ("same", "shared")
)
_OF_RUN = Option("run", "RUN", "the run", required=True)

COMMANDS = (
    Command("train", "run an experiment, or with -m one for every combination of A,B (the same as python train.py)",
            "train:train", ("[KEY=VALUE ...]", "-m KEY=A,B ...", "resume=last|ID"), keys="raw"),
    Command("plan", "say how much memory, time and disk a run, or with -m a whole sweep, will take; train nothing",
            "plan:plan_runs", ("[KEY=VALUE ...]", "-m KEY=A,B ..."), keys="raw"),
    Command("search", "search hyper-parameters with Optuna", "train:search",
            ("[search=NAME-or-FILE] [KEY=VALUE ...]",), keys="raw"),
    Command("data", "look at the data, train nothing", usage=("preview|audit|export [KEY=VALUE ...]",), commands=(
        Command("preview", "prompts as the model reads them, learned tokens marked", "data:preview_rows", options=(
            Option("split", "validation", "which rows", "train", ("train", "validation")),
            Option("rows", "3", "how many of them", 3, minimum=1),
        ), notes=_CONFIG),
        Command("audit", "lengths, cuts, duplicates, leaks; writes audit.json and audit.png", "data:audit_rows",
                notes=f"dataset.max_length=128,256,512 tries several lengths.\n{_CONFIG}"),
        Command("export", "write the prepared rows with split, id, group, fingerprint", "data:export_rows",
                ("to=FILE.jsonl [KEY=VALUE ...]",), (Option("to", "FILE.jsonl", "a new file"),), notes=_CONFIG),
    )),
    Command("runs", "list the runs here, newest first; clean removes what nobody needs", commands=(
        Command("list", "the runs here, newest first (the same as medft runs)", "runs:list_runs",
                ("[--failed] [--jobs] [limit=20]",), (
            Option("--failed", "", "only what failed, was killed or was interrupted, and why"),
            Option("--jobs", "", "the jobs of sweeps and searches too"),
            Option("limit", "20", "how many", 20, minimum=1),
        ), "places", notes=_PLACES),
        Command("clean", "show what nobody needs, with its size, ask, and remove it", "runs:clean_runs",
                ("[--failed] [--downloads] [--yes]",), (
            Option("--failed", "", "failed and killed runs that have nothing to go on from, too"),
            Option("--downloads", "", "downloaded models and data of the cache, too"),
            Option("--yes", "", "do not ask, for scripts"),
        ), "places", notes=_CLEAN + _PLACES),
    ), usage=("[--failed] [--jobs] [limit=20]", "clean [--failed] [--downloads] [--yes]"), default="list"),
    Command("models", "list the models that there are: licence, where the weights come from, parameters, what is here",
            "models:list_models", ("",), keys="places", notes="Any other causal language model that transformers "
            "knows: model=auto model.source=...\npaths.cache_dir=... says where medft's own cache is; the Hugging Face "
            "hub has one of its own."),
    Command("judge", "judge the answers of a finished run, again or with a second judge", "judge:judge",
            ("run=RUN [judge=ollama] [judge.model=llama3 ...]",), (_OF_RUN,), notes=f"{_LOGGED}\n{_RUN}"),
    Command("compare", "finished runs side by side on the questions they share, with intervals and costs",
            "compare:compare",
            ("RUN RUN ... [KEY=VALUE ...]", "parent=PARENT [KEY=VALUE ...]", "filter=FILTER [KEY=VALUE ...]"), (
        Option("parent", "PARENT", "all runs of a sweep"),
        Option("filter", "FILTER", "what an MLflow filter finds, such as \"params.`model.name` = 'gpt2'\""),
        Option("to", "FOLDER", _TO),
        Option("reference", "NAME", "variant, or run, that the others are compared with (default: the sweep's, or the "
               "first)"),
        _SAME,
        Option("seeds", "apart", "whether runs that differ in nothing but their seed are averaged", "together",
               ("together", "apart")),
        Option("metric", "NAME", "the primary one: p-values, ranking, what is worth its cost, figures (default: the "
               "first of metrics=, the sweep's, or bits_per_byte)"),
        Option("metrics", "A,B", "compare only these", ()),
        _MARGIN,
        Option("judge", "NAME", "compare only this judge's scores (default: all judges')"),
        Option("baseline", "false", "whether the model before fine-tuning is shown", True),
        Option("answers", "6", "questions shown with everybody's answers", 6),
    ), "places", words=None, notes=f"{_RUN}\n{_PARENT}\n{_PLACES}"),
    Command("report", "a sweep's results as a folder of experiments/", "compare:report",
            ("parent=PARENT [KEY=VALUE ...]", "experiment=NAME [KEY=VALUE ...]"), (
        Option("parent", "PARENT", "the sweep"),
        Option("experiment", "NAME", "the newest sweep of that name"),
        Option("to", "FOLDER", "default: experiments/<name> of the checkout"),
        Option("reference", "NAME", "variant that the others are compared with (default: the sweep's)"),
        _SAME,
        _MARGIN,
    ), "places", notes="README.md has question, verdict, table, figure and the command that repeats it; results.csv a "
       f"line for each run, and\nkeeps those of other runs; figure.png, .pdf and .svg.\n\n{_PARENT}\n{_PLACES}"),
    Command("ask", "ask the model of a finished run", "judge:ask",
            ('run=RUN "QUESTION" [generation.max_new_tokens=128 ...]',), (_OF_RUN,), words=1,
            notes=f"{_LOGGED}\n{_RUN}"),
    Command("chat", "talk to the model of a finished run, in the terminal", "talk:chat",
            ("run=RUN [generation.max_new_tokens=128 ...]",), (_OF_RUN,), notes=f"{_CHAT}\n{_LOGGED}\n{_RUN}"),
    Command("serve", "a web page on this machine: the model before and after fine-tuning side by side, and blind marks",
            "talk:serve", ("run=RUN [port=7860] [host=127.0.0.1] [generation.max_new_tokens=128 ...]",), (
        _OF_RUN,
        Option("port", "7860", "of the page's address; 0 takes one that is free", 7860),
        Option("host", "127.0.0.1", "the network interface; any other than this machine's own opens the page, which "
               "has no password, to the network", "127.0.0.1"),
    ), notes=f"{_SERVE}\n{_LOGGED}\n{_RUN}"),
    Command("export", "write the model of a finished run for others, checked on what reads it", "export:export",
            ("run=RUN to=hf|gguf|ollama [KEY=VALUE ...]",), (
        _OF_RUN,
        Option("to", "hf|gguf|ollama", "a folder for transformers and vLLM, a file for llama.cpp, or a model on an "
               "Ollama server that runs", choices=("hf", "gguf", "ollama"), required=True),
        Option("type", "f16", "numbers of a GGUF file", "f16", ("f32", "f16", "bf16", "q8_0")),
        Option("folder", "FOLDER", "where it goes (default: outputs/export/<name>)"),
        Option("name", "NAME", "of the model (default: the run's)"),
        Option("host", "ADDRESS", "of the Ollama server (default: OLLAMA_HOST, or 127.0.0.1:11434)"),
        Option("questions", "50", "how many test questions are asked to verify it", 50, minimum=1),
        Option("verify", "false", "whether it is verified", True),
        Option("merged", "false", "of a LoRA run: whether its adapters are merged into the weights, or alone", True),
    ), notes=f"An export that answers otherwise than the trained model is refused, with the reason.\n\n{_RUN}"),
    Command("sync", "deliver to MLflow what runs have logged while it could not be had", "sync:sync", keys="places",
            notes=f"The next run on the same store does so, too.\n{_PLACES}"),
    Command("fetch", "download a run's model and data to the cache, for machines without a network; train nothing",
            "data:fetch", notes=_CONFIG),
)  # fmt: skip

DESCRIPTION = "medft: fine-tune small language models on medical questions; tracked, repeatable, comparable."
NOTES = """\
  medft COMMAND --help   what a command takes; medft train --help lists models, data sets and experiments
  medft train --cfg job  prints the composed config; the files under conf/ explain each key

Exit codes: 0 done, 1 the run failed, 2 wrong input, 130 interrupted. HYDRA_FULL_ERROR=1 shows tracebacks."""
