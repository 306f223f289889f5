"""The raw data under DVC: take snapshots of recordings and labels, list them, bring one back, and say what one holds.

`Snapshots` writes DVC's own format: files under their MD5 in DVC's cache, and a pointer per folder, such as
`data/inbox.dvc`, in git. The files are in a DVC remote before a pointer is committed. The folders themselves are only
ever read, so files may arrive, change or be links meanwhile. `dvc` runs as a command, to reach the remote alone.
"""

from har.snapshots._coverage import Coverage
from har.snapshots._dvc import executable, is_configured
from har.snapshots._labels import TABLE, add_table, read_table
from har.snapshots._pointer import Pointer
from har.snapshots._restore import Restored
from har.snapshots._results import Snapshot, Taken
from har.snapshots._snapshots import Snapshots

__all__ = [
    "TABLE",
    "Coverage",
    "Pointer",
    "Restored",
    "Snapshot",
    "Snapshots",
    "Taken",
    "add_table",
    "executable",
    "is_configured",
    "read_table",
]
