"""The sweep room: many runs of one question, each in a process of its own, that survive what happens in the night."""
