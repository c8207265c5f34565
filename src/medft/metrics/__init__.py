"""The metrics room: what is measured of an answer, and how means get their error bars."""
