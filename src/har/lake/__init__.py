"""Delta tables of samples, recordings, predictions, scores, requests, labels, profiles and decisions.

Every write is one atomic commit; every table can be read at an earlier version.
"""

from har.lake._intact import Loss, losses, require_predictions, require_samples, to_load_again, to_score_again
from har.lake._lake import Lake
from har.lake._maintenance import Maintained, maintain
from har.lake._readable import DataFile
from har.lake._reader import check_path
from har.lake._repair import repair
from har.lake._table import Table
from har.lake._where import newest_day
from har.schema import Partition

__all__ = [
    "DataFile",
    "Lake",
    "Loss",
    "Maintained",
    "Partition",
    "Table",
    "check_path",
    "losses",
    "maintain",
    "newest_day",
    "repair",
    "require_predictions",
    "require_samples",
    "to_load_again",
    "to_score_again",
]
