"""What is in the data of a run, looked at before it trains."""
