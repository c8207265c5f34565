"""What Lightning starts for every further process of a distributed run: `medft train` with the same overrides."""

import sys

from medft.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
