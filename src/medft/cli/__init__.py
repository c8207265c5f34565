"""The commands; `commands.py` is the table of all of them."""
