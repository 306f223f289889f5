"""The exception tree: every class is documented and can be pickled."""

from __future__ import annotations

import inspect
import pickle

import pytest

from har import errors


def _tree() -> list[type[errors.HarError]]:
    found = inspect.getmembers(errors, lambda item: inspect.isclass(item) and issubclass(item, errors.HarError))
    return [cls for _, cls in found]


def test_the_docstring_draws_every_class() -> None:
    assert errors.__doc__ is not None
    for cls in _tree():
        assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize("cls", _tree())
def test_message_and_pickle(cls: type[errors.HarError]) -> None:
    error = cls(where="file.csv", expected="a number", got="'x'", remedy="Fix it.")
    assert str(error) == "file.csv: expected a number, but got 'x'. Fix it."
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is cls
    assert str(again) == str(error)


def test_a_problem_takes_the_place_of_expected_and_got() -> None:
    error = errors.ServerError(where="worker", problem="stopped, killed by SIGKILL", remedy="Start it again.")
    assert str(error) == "worker: stopped, killed by SIGKILL. Start it again."
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.problem) == (str(error), error.problem)


def test_the_line_survives_the_trip() -> None:
    error = errors.UnitError(where="f", expected="a", got="b", remedy="c.", line=7)
    assert pickle.loads(pickle.dumps(error)).line == 7  # noqa: S301


def test_a_password_in_an_address_is_not_repeated() -> None:
    address = "postgresql+psycopg://har:se@cret@db.example.org:5432/har"
    error = errors.RegistryError(where=f"registry {address}", expected="an answer", got=repr(address), remedy="Fix it.")
    assert "cret" not in str(error) + error.got + error.where
    assert str(error).count("postgresql+psycopg://har:…@db.example.org:5432/har") == 2
    plain = errors.HarError(where="http://127.0.0.1:5000", expected="x", got="a@b and http://[::1]:80/", remedy="Y.")
    assert str(plain) == "http://127.0.0.1:5000: expected x, but got a@b and http://[::1]:80/. Y."


def test_a_message_quotes_no_megabytes_of_a_file() -> None:
    error = errors.MissingColumnError.of("a.csv", "time", ["x" * 1_000_000], "Rename it.")
    assert len(str(error)) < 1_200
    assert str(error).endswith("x…. Rename it.")


def test_a_fault_of_the_program_names_its_line() -> None:
    try:
        {}["absent"]
    except KeyError as fault:
        error = errors.UnexpectedError.of("a.csv", fault)
    assert "got KeyError: 'absent' (at test_errors.py, line " in str(error)
    assert "please report it" in str(error)
