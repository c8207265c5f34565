"""Where Hydra finds medft's launcher: it loads launchers from `hydra_plugins` only."""
