"""The metrics room: what each metric is, how it is measured, and how its mean gets an error bar."""
