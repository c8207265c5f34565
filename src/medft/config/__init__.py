"""The config room: where `conf/` is found, composed and checked, before anything heavy is imported."""
