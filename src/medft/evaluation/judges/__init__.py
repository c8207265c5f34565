"""One file a judge, each beside its `conf/judge/<name>.yaml`."""
