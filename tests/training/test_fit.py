"""Training learns, is reproducible, and names what is wrong with the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from har.errors import NotEnoughDataError, SettingsError, TrainingError
from har.training import EpochReport, FitOptions, Fitted, fit
from har.training._resident import Resident
from har.training._trainer import ECHOED, Trainer
from har.training.networks.spectral import Spectral

TRAIN, CHECK = ("s00", "s01", "s02", "s03"), ("s04",)


def test_classifies_subjects_it_was_not_trained_on(fitted: Fitted, make_windows) -> None:
    unseen = make_windows(fitted.signal).for_subjects(("s05",))
    probabilities, features = fitted.predict(unseen.batch())
    assert (probabilities.argmax(1) == unseen.labels).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert features.shape == (len(unseen), len(fitted.feature_names))
    assert probabilities.dtype == features.dtype == np.float32


def test_both_networks_report_the_same_features(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, subjects=2)
    one, other = (
        fit(windows, ("s00",), ("s01",), signal=signal, options=FitOptions(network=network, epochs=1))
        for network in ("spectral", "dscnn")
    )
    assert one.feature_names == other.feature_names
    np.testing.assert_array_equal(one.predict(windows.batch())[1], other.predict(windows.batch())[1])


@pytest.mark.parametrize("network", ["spectral", "dscnn"])
def test_the_same_seed_gives_the_same_network(make_signal, make_windows, network: str) -> None:
    signal = make_signal()
    windows = make_windows(signal, seconds=10)
    results = []
    for before, threads, seed in ((1, 1, 0), (2, 2, 0), (3, 1, 1)):
        torch.manual_seed(before)
        state = torch.get_rng_state()
        default = torch.get_num_threads()
        torch.set_num_threads(threads)
        fitted = fit(
            windows,
            TRAIN,
            CHECK,
            signal=signal,
            options=FitOptions(network=network, seed=seed, epochs=2, batch_size=32),
        )
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.get_rng_state(), state), "the global generator must not move"
        results.append((fitted.predict(windows.batch())[0], fitted.validation_loss))
        torch.set_num_threads(default)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert np.abs(results[0][0] - results[2][0]).max() > 1e-4


def test_reports_every_epoch_of_both_passes(make_signal, make_windows) -> None:
    signal = make_signal()
    seen: list[EpochReport] = []
    fitted = fit(make_windows(signal), TRAIN, CHECK, signal=signal, options=FitOptions(epochs=3), on_epoch=seen.append)
    search = [report for report in seen if report.phase == "search"]
    refit = [report for report in seen if report.phase == "refit"]
    assert [report.epoch for report in search] == [1, 2, 3]
    assert [report.epoch for report in refit] == list(range(1, fitted.epoch + 1))
    losses = [report.validation_loss for report in search]
    assert fitted.epoch == 1 + int(np.argmin(losses))
    assert fitted.validation_accuracy == search[fitted.epoch - 1].validation_accuracy
    assert fitted.validation_loss <= min(losses) + 1e-9, "the temperature must not make it worse"


def test_a_prepared_window_is_read_as_often_as_the_network_asks(make_signal, make_windows) -> None:
    prepared: list[torch.Tensor] = []
    read: list[torch.Tensor] = []

    class Counting(Spectral):
        def prepare(self, window: torch.Tensor) -> torch.Tensor:
            prepared.append(super().prepare(window))
            return prepared[-1]

        def members(self, inputs: torch.Tensor) -> torch.Tensor:
            read.append(inputs)
            return super().members(inputs)

    windows = make_windows(make_signal(), subjects=2, seconds=30)
    echoes, size = Counting.optimisation.echoes, 8
    batches = -(-len(windows) // size)
    seen: list[EpochReport] = []
    trainer = Trainer(
        Counting,
        make_signal(),
        epochs=2,
        batch_size=size,
        device=torch.device("cpu"),
        on_epoch=seen.append,
    )
    torch.manual_seed(0)
    trainer.run(windows, windows.select(slice(0)), "refit", 2)
    assert echoes > 1
    assert batches > ECHOED
    assert len(prepared) == 2 * batches
    assert len(read) == 2 * batches * echoes
    first, echoed = torch.cat(prepared[:ECHOED]), torch.cat(read[ECHOED : 2 * ECHOED])
    assert not torch.equal(first, echoed), "the second time in another order"
    assert torch.equal(first.sort(dim=0).values, echoed.sort(dim=0).values), "and nothing but the same windows"
    assert 0 < seen[1].loss < seen[0].loss < 3 * np.log(len(make_signal().activities)), "a mean over all readings"


def test_unlabelled_windows_are_ignored(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, seconds=10)
    hidden = windows.labels.copy()
    hidden[::3] = -1
    with_gaps = fit(replace(windows, labels=hidden), TRAIN, CHECK, signal=signal, options=FitOptions(epochs=1))
    without = fit(windows.select(hidden >= 0), TRAIN, CHECK, signal=signal, options=FitOptions(epochs=1))
    assert with_gaps.train_windows == without.train_windows < np.isin(windows.subjects, TRAIN).sum()
    np.testing.assert_array_equal(with_gaps.predict(windows.batch())[0], without.predict(windows.batch())[0])


def test_an_activity_without_training_windows_is_named(make_signal, make_windows) -> None:
    signal = make_signal(activities=("SIT", "WALK", "RUN", "HOP"))
    fitted = fit(make_windows(signal, labels=(0, 1, 2)), TRAIN, CHECK, signal=signal, options=FitOptions(epochs=1))
    assert fitted.missing_activities == ("HOP",)
    assert fitted.train_windows > fitted.validation_windows > 0
    assert fitted.predict(make_windows(signal).batch())[0].shape[1] == 4


def test_the_temperature_is_one_with_few_or_no_validation_windows(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal)
    few = windows.select((windows.subjects != "s04") | (np.arange(len(windows)) % 20 == 0))
    tiny = fit(few, TRAIN, CHECK, signal=signal, options=FitOptions(epochs=2))
    assert 0 < tiny.validation_windows < 10
    assert tiny.temperature == 1.0
    seen: list[EpochReport] = []
    none = fit(windows, TRAIN, (), signal=signal, options=FitOptions(epochs=2), on_epoch=seen.append)
    assert (none.temperature, none.epoch, none.validation_accuracy) == (1.0, 2, None)
    assert [report.phase for report in seen] == ["search", "search"]
    assert none.summary == "epoch 2, without validation windows"


def test_an_activity_that_only_validation_subjects_have_is_not_missing(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, seconds=8)
    windows = windows.select((windows.labels != 2) | (windows.subjects == "s04"))
    fitted = fit(windows, TRAIN, CHECK, signal=signal, options=FitOptions(epochs=1))
    assert fitted.missing_activities == (), "the refit is trained on the validation subjects too"


def test_figures_are_written_as_one_line(make_signal, make_windows) -> None:
    signal = make_signal()
    seen: list[EpochReport] = []
    fitted = fit(
        make_windows(signal, seconds=8), TRAIN, CHECK, signal=signal, options=FitOptions(epochs=1), on_epoch=seen.append
    )
    search, refit = seen
    assert str(refit) == f"refit, loss {refit.loss:.3f}"
    assert search.validation_loss is not None
    assert search.validation_accuracy is not None
    assert str(search) == (
        f"search, loss {search.loss:.3f}, validation loss {search.validation_loss:.3f}, "
        f"accuracy {search.validation_accuracy:.1%}"
    )
    assert fitted.summary.startswith(f"epoch 1: accuracy {search.validation_accuracy:.1%}, log loss ")


@pytest.mark.parametrize(
    ("channels", "rate_hz", "length"), [(3, 100.0, 100), (6, 50.0, 8), (2, 50.0, 30)], ids=["3ch", "8samples", "2ch"]
)
@pytest.mark.parametrize("network", ["spectral", "dscnn"])
def test_other_signals_fit_too(make_signal, make_windows, network, channels, rate_hz, length) -> None:
    signal = make_signal(channels=channels, rate_hz=rate_hz, length=length)
    windows = make_windows(signal, subjects=3, seconds=4)
    fitted = fit(
        windows, ("s00", "s01"), ("s02",), signal=signal, options=FitOptions(network=network, epochs=2, batch_size=16)
    )
    assert np.isfinite(fitted.predict(windows.batch())[0]).all()


@pytest.mark.parametrize("network", ["spectral", "dscnn"])
def test_two_windows_can_be_trained_on(make_signal, make_windows, network) -> None:
    signal = make_signal(length=8)
    windows = make_windows(signal, subjects=1, labels=(0, 1), seconds=0.16)
    assert len(windows) == 2
    fitted = fit(windows, ("s00",), (), signal=signal, options=FitOptions(network=network, epochs=1, batch_size=2))
    assert fitted.train_windows == 2
    assert fitted.missing_activities == ("RUN",)


def test_no_labels_or_a_single_activity_is_refused(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, labels=(1,))
    with pytest.raises(NotEnoughDataError, match="all of 'WALK'"):
        fit(windows, TRAIN, CHECK, signal=signal)
    with pytest.raises(NotEnoughDataError, match="but got none"):
        fit(replace(windows, labels=np.full_like(windows.labels, -1)), TRAIN, CHECK, signal=signal)
    with pytest.raises(NotEnoughDataError, match="but got none"):
        fit(windows, ("nobody",), CHECK, signal=signal)


def test_impossible_arguments_are_refused(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal, subjects=2, seconds=4)
    with pytest.raises(SettingsError, match="a Python file that holds a network, but got 'transformer'"):
        fit(windows, ("s00",), ("s01",), signal=signal, options=FitOptions(network="transformer"))
    with pytest.raises(TrainingError, match="'s00' among both the train and the validation subjects"):
        fit(windows, ("s00",), ("s00",), signal=signal)
    with pytest.raises(TrainingError, match="100 samples of 6"):
        fit(windows, ("s00",), ("s01",), signal=make_signal(length=50))
    with pytest.raises(TrainingError, match="labels below 2"):
        fit(windows, ("s00",), ("s01",), signal=make_signal(activities=("SIT", "WALK")))
    with pytest.raises(TrainingError, match="auto, cpu or cuda"):
        fit(windows, ("s00",), ("s01",), signal=signal, options=FitOptions(device="tpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_a_remedy(make_signal, make_windows) -> None:
    signal = make_signal()
    with pytest.raises(TrainingError, match=r'training\.device = "auto"'):
        fit(
            make_windows(signal, subjects=2, seconds=4),
            ("s00",),
            ("s01",),
            signal=signal,
            options=FitOptions(device="cuda"),
        )


def test_batches_on_a_device_are_those_of_the_windows(make_signal, make_windows) -> None:
    signal = make_signal()
    windows = make_windows(signal).select(slice(3, None, 2))
    ours, copied = (Resident(windows, torch.device("cpu"), copied=copied) for copied in (False, True))
    for rows in (torch.randperm(len(windows))[:5], slice(2, 9)):
        values, labels = ours.batch(rows)
        assert values.shape[1:] == (signal.length, len(signal.channels))
        assert torch.equal(values, copied.batch(rows)[0])
        assert torch.equal(labels, copied.batch(rows)[1])
    none = Resident(windows.select(slice(0)), torch.device("cpu"), copied=True)
    assert len(none) == len(none.batch(slice(0, 4))[0]) == 0
