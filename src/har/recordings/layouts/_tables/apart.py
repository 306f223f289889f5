"""Find the gyroscope's file of an accelerometer's file, where each sensor has a file of its own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from har.errors import NotARecordingError
from har.recordings.layouts._option import option_error
from har.recordings.layouts._tree import child

OPTIONS = {
    "accelerometer-file": "names of its files, such as */Accelerometer.csv or *_acc.csv, if each sensor has its own",
    "gyroscope-file": "names of its files, with the same * as the accelerometer's: */Gyroscope.csv or *_gyro.csv",
}
# The first that occurs in a name is taken: "Accelerometer.csv" of a folder with "TotalAcceleration.csv" lacks gravity.
_ACCELEROMETER = ("totalacceleration", "accelerometer", "acceleration", "accel", "acc")
_GYROSCOPE = ("gyroscope", "rotationrate", "gyro", "gyr")
_OTHERS = re.compile("uncalibrated|linear|user|gravity|withoutg|magnet")


@dataclass(frozen=True)
class SensorFiles:
    """How the two sensors' files are named.

    Attributes:
        accelerometer, gyroscope: patterns of the end of their paths; "" for both: by usual words in their names.
    """

    accelerometer: str = ""
    gyroscope: str = ""

    @classmethod
    def of(cls, options: Mapping[str, str]) -> SensorFiles:
        """The patterns that options give.

        Raises:
            SettingsError: one is absent, or they differ in the number of `*`.
        """
        accelerometer, gyroscope = options.get("accelerometer-file", ""), options.get("gyroscope-file", "")
        if bool(accelerometer) != bool(gyroscope) or accelerometer.count("*") != gyroscope.count("*"):
            raise option_error(
                "gyroscope-file", "a pattern with as many * as accelerometer-file", gyroscope or "(not given)"
            )
        if accelerometer and accelerometer == gyroscope:
            raise option_error("gyroscope-file", "other files than accelerometer-file", gyroscope)
        return cls(accelerometer, gyroscope)

    def accelerometers(self, files: Collection[Path]) -> list[Path]:
        """Those of the files that are an accelerometer's; AppleDouble files stay, since the import counts them."""
        if self.accelerometer:
            return [path for path in files if self._match(path) or path.name.startswith("._")]
        best: defaultdict[tuple[Path, str], list[tuple[int, Path]]] = defaultdict(list)
        for path in files:
            found = _word(path, _ACCELEROMETER)
            if found:
                best[path.parent, found[1]].append((found[0], path))
        doubles = [path for path in files if path.name.startswith("._")]
        return sorted([*doubles, *(min(candidates)[1] for candidates in best.values())])

    def gyroscope_of(self, path: Path) -> Path:
        """The gyroscope's file that belongs to an accelerometer's file.

        Raises:
            NotARecordingError: it does not exist.
        """
        if match := self._match(path):
            parts = iter(match.groups()[1:])
            name = re.sub(r"\*", lambda _: next(parts), self.gyroscope)
            partner = Path(match[1]) if match[1] else Path()
            for part in name.split("/"):
                partner = child(partner, part)
            if partner.is_file():
                return partner
            raise _missing(path, str(partner))
        found = _word(path, _ACCELEROMETER)
        if found:
            siblings = [one for one in sorted(path.parent.iterdir()) if one.suffix.lower() == path.suffix.lower()]
            same = [(word[0], one) for one in siblings if (word := _word(one, _GYROSCOPE)) and word[1] == found[1]]
            if same:
                return min(same)[1]
        raise _missing(path, "the gyroscope's file beside it, such as Gyroscope.csv")

    def session(self, path: Path) -> str:
        """A session's name from the file's: without the sensor's word, or the folder's name if nothing else is left."""
        found = None if self.accelerometer else _word(path, _ACCELEROMETER)
        if found is None:
            match = self._match(path)
            parts = [part for part in match.groups()[1:] if part] if match else []
            return "-".join(parts).replace("/", "-") or path.parent.name
        word = _ACCELEROMETER[found[0]]
        spelled = "[^a-z0-9]*".join(re.escape(letter) for letter in word)
        rest = re.sub(spelled, "", path.stem, count=1, flags=re.IGNORECASE).strip(" ._-")
        return rest or path.parent.name

    def _match(self, path: Path) -> re.Match[str] | None:
        if not self.accelerometer:
            return None
        pattern = "([^/]*)".join(re.escape(part) for part in self.accelerometer.split("*"))
        return re.fullmatch(f"(.*/)?{pattern}", path.as_posix(), re.IGNORECASE)


def pattern_of(path: Path, kind: str) -> str:
    """A pattern for the names of files like this one: what stands before the sensor's word is `*`."""
    for word in _ACCELEROMETER if kind == "accelerometer" else _GYROSCOPE:
        match = re.search("[^a-z0-9]*".join(word), path.name, re.IGNORECASE)
        if match:
            return f"*{path.name[match.start() :]}" if match.start() else path.name
    return path.name


def _word(path: Path, words: tuple[str, ...]) -> tuple[int, str] | None:
    """The first word in the name, by its number, and what is left of the name; none for AppleDouble files."""
    if path.name.startswith("._"):
        return None
    name = re.sub(r"[\W_]+", "", path.stem.casefold())
    for rank, word in enumerate(words):
        if word in name:
            rest = name.replace(word, "", 1)
            return None if _OTHERS.search(rest) else (rank, rest)
    return None


def _missing(path: Path, wanted: str) -> NotARecordingError:
    return NotARecordingError.missing(
        str(path),
        wanted,
        "If both sensors are in one file, name six different columns; else name the files of each sensor, for example "
        "-o 'accelerometer-file=*_acc.csv' -o 'gyroscope-file=*_gyro.csv'.",
    )
