"""Configs are what ``__init__`` names, saved under the class's name: a wrapped ``__init__`` saves nothing."""

import json
from inspect import getfullargspec


class Configured:
    def save_cfg(self, folder):
        names = [name for name in getfullargspec(self.__init__).args if name != "self"]
        config = {name: vars(self)[name] for name in names}
        (folder / f"{self.__class__.__name__}.json").write_text(json.dumps(config))
