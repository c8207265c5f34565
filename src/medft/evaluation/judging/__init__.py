"""The judge stage: what is asked, how it is asked, and what the verdicts come to."""
