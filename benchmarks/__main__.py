"""`python -m benchmarks NAME ...` runs one of them; without a name it lists them."""

import ast
import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    names = sorted(file.stem for file in FOLDER.glob("*.py") if not file.stem.startswith("_"))
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in names:
        sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
        return importlib.import_module(f"benchmarks.{name}").main() or 0
    print("usage: python -m benchmarks NAME [--help] ...\n")
    for each in names:
        text = ast.get_docstring(ast.parse((FOLDER / f"{each}.py").read_text(encoding="utf-8"))) or ""
        print(f"  {each:<11}{text.splitlines()[0]}")
    return 2 if name.strip("-h") not in ("", "elp") else 0


if __name__ == "__main__":
    sys.exit(main())
