"""Whatever is read from outside is read, or refused in one line: never a crash."""
