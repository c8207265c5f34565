"""The report room: what a run shows to people who read rather than query."""
