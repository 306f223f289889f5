"""har.toml and HAR_ variables: what is read, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from har.errors import SettingsError
from har.settings import Settings, load_settings
from infra.bentoml.command import project_store

ROOT = Path(__file__).resolve().parents[1]


def edit(project: Path, old: str, new: str) -> None:
    text = (project / "har.toml").read_text(encoding="utf-8")
    assert old in text
    (project / "har.toml").write_text(text.replace(old, new, 1), encoding="utf-8")


def test_reads_the_projects_own_file() -> None:
    settings = load_settings(ROOT)
    assert len(settings.sensors.channels) == len(settings.sensors.units)
    assert settings.length == round(settings.windows.length_s * settings.sensors.rate_hz)
    assert 1 <= settings.stride <= settings.length
    assert settings.path("lake") == ROOT / settings.paths.lake


def test_found_from_a_folder_below(project: Path) -> None:
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    assert load_settings(below).root == project


def test_environment_wins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_TRAINING__EPOCHS", "3")
    monkeypatch.setenv("HAR_SENSORS__ACCELEROMETER__UNIT", "mg")
    monkeypatch.setenv("HAR_SPLIT__HELD_OUT", '["a", "b"]')
    settings = load_settings(project)
    assert settings.training.epochs == 3
    assert settings.sensors.accelerometer is not None
    assert settings.sensors.accelerometer.to_si == pytest.approx(0.00980665)
    assert settings.split.held_out == ("a", "b")


def test_recorded_settings_ignore_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(project)
    monkeypatch.setenv("HAR_TRAINING__EPOCHS", "999")
    again = Settings.from_values(settings.model_dump(mode="json"), root=project)
    assert again.model_dump() == settings.model_dump()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs =", "epoch =", ["training.epoch", "Did you mean 'epochs'?"]),
        ("[training]", "[trainings]", ["trainings", "Did you mean 'training'?"]),
        ("[sensors.accelerometer]", "[sensors.acelerometer]", ["Did you mean 'accelerometer'?"]),
        ("overlap =", "overlap = 1.0  #", ["windows.overlap", "less than 1", "1.0"]),
        ('network = "spectral"', 'device = "tpu"', ["training.device", "'tpu'", "cuda"]),
        ("length_s =", "length_s = 0.01  #", ["at least 8 samples", "windows.length_s = 0.01"]),
        ('timezone = "UTC"', 'timezone = "Mars/Olympus"', ["project.timezone", "Mars/Olympus", "Europe/Vienna"]),
        ("[project]", "[project", ["TOML"]),
    ],
)
def test_typos_are_named(project: Path, old: str, new: str, words: list[str]) -> None:
    edit(project, old, new)
    with pytest.raises(SettingsError) as caught:
        load_settings(project)
    for word in [str(project / "har.toml"), *words]:
        assert word in str(caught.value)


def test_unit_of_another_kind_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_SENSORS__ACCELEROMETER__UNIT", "rad/s")
    with pytest.raises(SettingsError, match=r"one of g, mg, m/s\^2.*'rad/s'"):
        load_settings(project)


def test_a_password_in_the_database_address_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_TRACKING__URI", "postgresql+psycopg://har:se@cret@db.example.org/har")
    with pytest.raises(SettingsError, match=r"tracking.uri.*without a password.*PGPASSWORD.*har:…@db") as caught:
        load_settings(project)
    assert "cret" not in str(caught.value)
    monkeypatch.setenv("HAR_TRACKING__URI", "postgresql+psycopg://har@db.example.org/har")
    assert load_settings(project).tracking.uri.endswith("@db.example.org/har")


def test_repeated_activity_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_ACTIVITIES__NAMES", '["walk", "sit", "walk"]')
    with pytest.raises(SettingsError, match="'walk' is listed twice"):
        load_settings(project)


def test_unknown_variable_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAR_TRAINNING__EPOCHS", "3")
    with pytest.raises(SettingsError, match=r"HAR_TRAINNING__EPOCHS.*Did you mean 'training'\?"):
        load_settings(project)


@pytest.mark.parametrize(
    ("variable", "value", "meant"),
    [
        ("HAR_TRAINNING__EPOCHS", "3", "Did you mean 'training'"),
        ("HAR_TRAINING__EPOCS", "3", "Did you mean 'epochs'"),
        ("HAR_EVALUATION__FOLDS", "3", "Sections: project"),
        ("HAR__EPOCHS", "3", "Write HAR_TRAINING__EPOCHS"),
        ("HAR_TRAINING_EPOCHS", "3", "Write HAR_TRAINING__EPOCHS"),
        ("HAR_TRAINNING_EPOCHS", "3", "Write HAR_TRAINING__EPOCHS"),
        ("HAR_TRACKING_URL", "http://a", "Write HAR_TRACKING__URI"),
        ("har_serving_timeout_s", "3", "Write HAR_SERVING__TIMEOUT_S"),
        ("HAR_EPOCHS", "3", "Write HAR_TRAINING__EPOCHS"),
        ("HAR_TRAINNING", '{"epochs": 3}', "Write HAR_TRAINING"),
        ("HAR_SENSORS_RATE_HZ", "50", "Write HAR_SENSORS__RATE_HZ"),
        ("HAR_SERVING__PORT", "3000", "serving.port"),
    ],
)
def test_what_was_meant_as_a_setting_is_refused(
    variable: str, value: str, meant: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(project)
    assert meant in str(refused.value)


SERVICES = ("online", "online-api", "training", "serving", "serving--v2", "x--name", "paths")


def injected(service: str) -> dict[str, str]:
    """What Kubernetes (first six) and Docker's links add for a service of this name; "har" has no name after it."""
    name = f"HAR_{service.upper().replace('-', '_')}_" if service else "HAR_"
    return {
        f"{name}SERVICE_HOST": "10.96.0.11",
        f"{name}SERVICE_PORT": "3000",
        f"{name}SERVICE_PORT_HTTP_METRICS": "3000",
        f"{name}PORT": "tcp://10.96.0.11:3000",
        f"{name}PORT_3000_TCP": "tcp://10.96.0.11:3000",
        f"{name}PORT_3000_TCP_ADDR": "10.96.0.11",
        f"{name}PORT_3000_TCP_PORT": "3000",
        f"{name}PORT_53_UDP_PROTO": "udp",
        f"{name}NAME": "/stack_worker_1/har",
        f"{name}ENV_PATH": "/usr/bin",
    }


@pytest.mark.parametrize("service", [*SERVICES, ""])
def test_variables_that_an_engine_adds_for_a_service_are_nobodys_mistake(
    service: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_settings(project)
    for name, value in injected(service).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HAR_TRAINING__EPOCHS", "3")
    settings = load_settings(project)
    assert settings.training.epochs == 3
    assert settings.model_dump(exclude={"training"}) == before.model_dump(exclude={"training"})


@pytest.mark.parametrize(
    "variable", ["HAR_HOME", "HAR_IMAGE_TAG", "HAR_PROJECT_ID", "HAR_ONLINE_URL", "HARVEST", "HAR_PATH"]
)
def test_variables_of_other_programs_are_left_alone(
    variable: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_settings(project)
    monkeypatch.setenv(variable, "x")
    assert load_settings(project).model_dump() == before.model_dump()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a har.toml here or in a folder above.*HAR_ROOT"):
        load_settings(tmp_path)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_error(project: Path, ends: str) -> None:
    edit(project, "[recordings]", '[recordings]\ndevice = "Gerät"')
    text = (project / "har.toml").read_text(encoding="utf-8").replace("\n", ends)
    (project / "har.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_settings(project).recordings.device == "Gerät"
    assert project_store(project) == project / ".bentoml"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_named_with_its_line(project: Path, encoding: str) -> None:
    edit(project, "[recordings]", '[recordings]\ndevice = "Gerät"')
    text = (project / "har.toml").read_text(encoding="utf-8")
    (project / "har.toml").write_bytes(text.encode(encoding))
    line = text.splitlines().index('device = "Gerät"') + 1
    with pytest.raises(SettingsError, match="Save the file as UTF-8") as caught:
        load_settings(project)
    assert ("UTF-16" if "utf" in encoding else f'line {line}: device = "Gerät"') in caught.value.got
    assert caught.value.where == str(project / "har.toml")
    if "utf" not in encoding:
        with pytest.raises(SystemExit, match="Save the file as UTF-8"):
            project_store(project)


def test_a_file_that_cannot_be_read_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SettingsError, match=r"har\.toml.*Permission denied"):
        load_settings(project)


@pytest.mark.parametrize("said", ["", ".", "reports/activity", "har.toml"])
def test_root_is_the_folder_of_the_file_wherever_the_search_began(
    project: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    (project / "reports" / "activity").mkdir(parents=True)
    monkeypatch.chdir(project)
    monkeypatch.setenv("HAR_ROOT", said)
    assert load_settings().root == project.resolve()
