"""A pointer file of DVC: which version of a folder belongs to a commit."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from har.errors import SnapshotError


@dataclass(frozen=True)
class Pointer:
    """What `FOLDER.dvc` says.

    Attributes:
        oid: the hash of the list of files, such as `77f0….dir`; it names every byte of the folder.
        files: their number.
        size: their bytes.
        folder: name of the folder, which lies beside the pointer.
    """

    oid: str
    files: int
    size: int
    folder: str

    def text(self) -> str:
        """The file's content, as `dvc add` writes it."""
        out = {"md5": self.oid, "size": self.size, "nfiles": self.files, "hash": "md5", "path": self.folder}
        return str(yaml.safe_dump({"outs": [out]}, sort_keys=False))

    @classmethod
    def parse(cls, text: str, where: str) -> Pointer:
        """Read a pointer that this module or `dvc add` wrote.

        Raises:
            SnapshotError: it is none of a folder.
        """
        try:
            (out,) = yaml.safe_load(text)["outs"]
            pointer = cls(str(out["md5"]), int(out["nfiles"]), int(out["size"]), str(out["path"]))
        except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            raise SnapshotError(
                where=where,
                expected="a pointer of DVC 3 to one folder (outs with md5, nfiles, size and path)",
                got=f"{text[:80]!r}",
                remedy="Restore the file from git: git checkout HEAD -- FILE.",
            ) from error
        if not pointer.oid.endswith(".dir"):
            raise SnapshotError(
                where=where,
                expected="a pointer to a folder, whose md5 ends with .dir",
                got=pointer.oid,
                remedy="Remove this pointer (dvc remove FILE) and take a snapshot of the folder: har data snapshot.",
            )
        return pointer
