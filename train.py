"""python train.py [KEY=VALUE ...]: run an experiment. See `python train.py --help` and the files under conf/."""

import sys

from medft.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
