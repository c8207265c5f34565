"""Searches: Optuna proposes settings within ranges, and they run as the jobs of a sweep; poor ones are pruned."""
