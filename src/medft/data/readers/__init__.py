"""One file a data source, each beside its `conf/dataset/<name>.yaml`."""
