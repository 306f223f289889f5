"""Store a package as a BentoML model and build bentos of it; `ProjectBentos.build` runs this as a child process.

    python -m infra.bentoml.build NAME VERSION FOLDER ROOT RESULT BENTOFILE …

The tags of the bentos, in the order of the bentofiles, are written to RESULT as a JSON list.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import bentoml

from infra.bentoml.store import Store


def main(name: str, version: str, folder: str, root: str, result: str, *bentofiles: str) -> None:
    """Store the model, then build every bento from the project in `root`."""
    with bentoml.models.create(f"{name}:{version}") as model:
        shutil.copytree(folder, model.path, dirs_exist_ok=True)
    # A service in the project refers to the latest package; a bento built now must refer to this one.
    Store(Path(os.environ["BENTOML_HOME"])).point_at(str(model.tag))
    tags = [
        str(bentoml.bentos.build_bentofile(str(Path(root, bentofile)), version=version, build_ctx=root).tag)
        for bentofile in bentofiles
    ]
    Path(result).write_text(json.dumps(tags), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
