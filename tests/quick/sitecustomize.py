"""Python imports this in the processes that tests start, where this folder is on PYTHONPATH.

The encoder of `similarity`, which takes each of them seconds, has a stand-in there, too.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MODULE = "medft.metrics.similarity"


class _Replacing(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from quick_encoder import embed_quickly

        self._loader.exec_module(module)
        vars(module)["_embed"] = embed_quickly


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)  # the usual ones find it
        spec = importlib.util.find_spec(fullname)
        assert spec and spec.loader
        spec.loader = _Replacing(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
