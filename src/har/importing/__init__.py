"""Import other people's recordings as inbox files in this project's units, columns and time unit.

`survey` reads and converts all recordings into a staging folder, and checks each file with the reader of `har ingest`;
`write` then copies the files into the inbox. Recordings that cannot be imported are listed with the reason, `propose`
guesses the options that they need; no values are filled in. `calibrate` corrects staged files, if it is asked for.
Importing the same recordings again writes nothing.
"""

from har.importing._calibrate import Calibrated, calibrate
from har.importing._groups import Group, grouped
from har.importing._labels import Labels
from har.importing._passed import Passed
from har.importing._propose import Proposal, propose
from har.importing._recorded import recorded
from har.importing._staged import Refused, Staged, Survey
from har.importing._survey import ASSIGNED_FROM, survey
from har.importing._write import Written, write

__all__ = [
    "ASSIGNED_FROM",
    "Calibrated",
    "Group",
    "Labels",
    "Passed",
    "Proposal",
    "Refused",
    "Staged",
    "Survey",
    "Written",
    "calibrate",
    "grouped",
    "propose",
    "recorded",
    "survey",
    "write",
]
