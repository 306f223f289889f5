"""Other people's recordings into inbox files: what a reader finds, in this project's units, columns and time unit.

`survey` reads everything, converts it and holds each file-to-be against the very reader that `har ingest` uses, in a
folder of its own; `write` then puts the files into the inbox. What cannot be taken is refused by name, nothing is
filled in, and a second import of the same finds its files and writes nothing.
"""

from har.importing._labels import Labels
from har.importing._survey import ASSIGNED_FROM, Refused, Staged, Survey, survey
from har.importing._write import Written, write

__all__ = ["ASSIGNED_FROM", "Labels", "Refused", "Staged", "Survey", "Written", "survey", "write"]
