"""Who recorded, and which session: by options or from the path, since the apps do not know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from har.errors import FileNameError
from har.recordings.layouts._layout import Source
from har.recordings.layouts._names import PathPattern

OPTIONS = {
    "subject": "the subject of all files",
    "pattern": "fields in the path, such as {subject}/* or {subject}_{activity}_{session}.*",
    "activity": "the activity of all files",
    "placement": "where the sensor was worn",
}


@dataclass(frozen=True)
class Identity:
    """What is known of a recording besides its samples; "" where unknown."""

    subject: str
    session: str
    activity: str
    placement: str
    device: str


def identity(
    path: Path,
    source: Source,
    *,
    session: str,
    device: str,
    subject: str = "",
    placement: str = "",
    activity: str = "",
) -> Identity:
    """Who, which session and what: options first, then the path's pattern, then what the file says.

    Args:
        path: the file, archive or folder.
        source: gives the options.
        session: its name, as the file or the reader tells it.
        device: which device, likewise.
        subject: who, if the file tells it.
        placement: where it was worn, if that is known.
        activity: what was done, if the file tells it.

    Raises:
        FileNameError: nothing names the subject, or the path does not match the pattern.
    """
    options = source.options
    fields = PathPattern(options["pattern"]).parse(path) if "pattern" in options else {}
    who = options.get("subject") or fields.get("subject") or subject
    if not who:
        raise FileNameError(
            where=str(path),
            expected="to be told who wore the device, which the file does not say",
            got="neither the option subject nor a pattern",
            remedy="Add -o subject=anna if all files are of one person, or -o 'pattern={subject}/*' if each person has "
            "a folder.",
        )
    return Identity(
        who,
        fields.get("session") or session,
        options.get("activity") or fields.get("activity") or activity,
        options.get("placement") or fields.get("placement") or placement,
        fields.get("device") or device,
    )
