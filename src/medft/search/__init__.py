"""The search room: Optuna proposes settings within ranges, the sweep room runs them, what falls behind is given up."""
