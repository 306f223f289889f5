"""What users extend by a file: a package's modules that define one value each, or a Python file of the user's."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from har.errors import HarError, SettingsError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """The values of one kind.

    Attributes:
        package: whose modules define them; those whose names begin with `_` define none.
        name: of the value in a module, such as "LAYOUT".
        kind: its type.
        noun: what it is, in messages.
        where: who asks for one, in messages.
        page: of the handbook on how to write one.
        others: names that are known without a module.
        listed: what shows all of them, as a sentence; "": the page does.
    """

    package: str
    name: str
    kind: type[T]
    noun: str
    where: str
    page: str
    others: tuple[str, ...] = ()
    listed: str = ""

    def names(self) -> list[str]:
        """Of the package's values, sorted."""
        found = pkgutil.iter_modules(importlib.import_module(self.package).__path__)
        return sorted(module.name.replace("_", "-") for module in found if not module.name.startswith("_"))

    def all(self) -> list[T]:
        """The package's values, sorted by name."""
        return [self.find(name) for name in self.names()]

    def find(self, name: str) -> T:
        """The value of that name, or the one that a Python file (`my_own.py`) defines.

        Raises:
            SettingsError: it does not exist.
        """
        if name.endswith(".py"):
            return self._value(load_file(Path(name), self.noun), name)
        known = [*self.others, *self.names()]
        if name not in known[len(self.others) :]:
            raise SettingsError(
                where=self.where,
                expected=f"a {self.noun} ({', '.join(known)}) or a Python file that defines one",
                got=repr(name),
                remedy=did_you_mean(name, known) or self.listed or f"See {self.page}.",
            )
        return self._value(importlib.import_module(f"{self.package}.{name.replace('-', '_')}"), name)

    def _value(self, module: ModuleType, where: str) -> T:
        value = getattr(module, self.name, None)
        if not isinstance(value, self.kind):
            raise SettingsError(
                where=where,
                expected=f"a module-level {self.name} = {self.kind.__name__}(...)",
                got="none" if value is None else type(value).__name__,
                remedy=f"See {self.page}.",
            )
        return value


def load_file(path: Path, noun: str) -> ModuleType:
    """Import a Python file of the user's.

    Raises:
        SettingsError: there is none, it is not Python, or its code fails; with the line.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise SettingsError(
            where=str(path), expected=f"a Python file with a {noun}", got="no such file", remedy="Check the path."
        )
    module = importlib.util.module_from_spec(spec)
    with explained(path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Let errors of a user's file that is imported name the file and the line.

    Raises:
        SettingsError: it is not Python, or its code fails.
    """
    try:
        yield
    except SyntaxError as error:  # also text in another encoding
        raise SettingsError(
            where=f"{error.filename or path}, line {error.lineno}",
            expected="Python in UTF-8",
            got=str(error.msg),
            remedy="Fix the line, or save the file as UTF-8.",
        ) from error
    except HarError:
        raise
    except Exception as error:  # whatever the user's code raises
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise SettingsError(
            where=f"{frames[-1].filename if frames else path}{line}",
            expected="a file that can be imported",
            got=f"{type(error).__name__}: {error}",
            remedy="Fix the line; what it imports must be installed, or lie in the project's folder.",
        ) from error


def _is_users(filename: str) -> bool:
    others = ("<", sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), str(Path(__file__)))
    return not filename.startswith(others)
