"""Talking to the model of a finished run: in a terminal, and in a web page on this machine."""
