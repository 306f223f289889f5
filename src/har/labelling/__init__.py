"""Windows for people to label: the tasks of the page `/label`, the answers to them, and how far people agree.

`har labels --prepare` writes the tasks, the online service shows them and stores the answers, `har collect` brings the
answers into the lake. All three meet in one SQLite file, so that an answer is either stored and shown as done, or
refused. Needs only the standard library and numpy, because the online box has nothing else.
"""

from har.labelling._agreement import Agreement, Pair, agreement, kappa, verdict_of
from har.labelling._answers import Answer, Given, Settled
from har.labelling._lttb import lttb
from har.labelling._names import LABELLER, LABELLER_RULE, PAGE_ID, REVIEWER, UNSURE, UNUSABLE, VERDICTS
from har.labelling._store import Store, store_path
from har.labelling._tasks import Progress, Task, is_shared, task_id

__all__ = [
    "LABELLER",
    "LABELLER_RULE",
    "PAGE_ID",
    "REVIEWER",
    "UNSURE",
    "UNUSABLE",
    "VERDICTS",
    "Agreement",
    "Answer",
    "Given",
    "Pair",
    "Progress",
    "Settled",
    "Store",
    "Task",
    "agreement",
    "is_shared",
    "kappa",
    "lttb",
    "store_path",
    "task_id",
    "verdict_of",
]
