"""Who is compared. A peer trains on some windows and answers others; everything else is the same for all.

Answers are probabilities, or 1 for the answer of a peer that has none.
"""

from __future__ import annotations

import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from har.experiment import describe
from har.files import write_atomically
from har.inference import Classifier
from har.training import FitOptions, Fitted, export, fit, learn_novelty, learn_runs
from har.training.networks import network_source
from har.windows import split_subjects
from tests.bench.quality import _features, tinier_har
from tests.bench.quality._data import SOURCE, Data, code_of

_AFTER_TRAINING = {"_export.py", "_novelty.py", "_runs.py"}
Part = tuple[int, int]
"""Seed and number of the fold that is tested."""
Answer = Callable[[NDArray[np.float32]], Any]
"""Raw windows (N, T, C) to whatever a model answers."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a peer, trained without a fold, answers for the windows of the fold.

    Attributes:
        part: seed and fold.
        probabilities: float32 (n, K), in the order of the windows.
        seconds: of training, processor time on one thread, features included.
    """

    part: Part
    probabilities: NDArray[np.float32]
    seconds: float


class Peer(ABC):
    """One way to classify windows.

    Attributes:
        name: how `--only` and the tables call it.
        what: one line about it for the page.
        seeded: whether its training draws random numbers; otherwise one seed stands for all.
    """

    name: str
    what: str
    seeded: bool = True

    @abstractmethod
    def code(self) -> str:
        """What decides its answers besides the data; results of another code are not used."""

    @abstractmethod
    def run(self, data: Data, parts: Sequence[Part], model: Path) -> Iterator[Result]:
        """Train for each part, and store what seed 0 learned without the first fold at `model`, for `measure`."""

    @abstractmethod
    def open(self, model: Path, default: Path) -> Answer | None:
        """The stored model as one function from raw windows to answers; None: it was timed elsewhere.

        Args:
            model: the stored model.
            default: that of the default network, which computes the project's descriptors.
        """

    def size(self, model: Path) -> int:
        """Bytes of the stored model."""
        return model.stat().st_size


class NetworkPeer(Peer):
    """A network of this project, or one that is named by its file; trained and exported as `har train` does."""

    def __init__(self, network: str, name: str, what: str, root: Path | None = None) -> None:
        self.network, self.name, self.what, self.root = network, name, what, root

    def code(self) -> str:
        """Of the training and of the network; not of the export and of other networks."""
        training = SOURCE / "training"
        own = training / "networks" / f"{self.network.replace('-', '_')}.py"
        files = [
            *(file for file in sorted(training.glob("*.py")) if file.name not in _AFTER_TRAINING),
            training / "networks" / "_network.py",
            *([own] if own.is_file() else []),
            SOURCE / "windows",
        ]
        return code_of(*files) + network_source(self.network, self.root) + _versions("torch", "numpy")

    def run(self, data: Data, parts: Sequence[Part], model: Path) -> Iterator[Result]:
        """As `har evaluate`."""
        for seed, number in parts:
            held_out = data.folds[number]
            began = time.process_time()
            fitted = self._fit(data, held_out, seed)
            seconds = time.process_time() - began
            test = data.windows.for_subjects(held_out)
            answers = np.concatenate([fitted.predict(batch)[0] for batch in test.batches(1024)])
            if (seed, number) == (0, 0):
                self._export(data, fitted, model)
            yield Result((seed, number), answers, seconds)

    def open(self, model: Path, default: Path) -> Answer:
        """ONNX Runtime on the exported file."""
        return Classifier(model, threads=1).predict

    def _fit(self, data: Data, held_out: tuple[str, ...], seed: int) -> Fitted:
        settings = data.settings
        subjects = np.unique(data.windows.subjects).tolist()
        split = split_subjects(subjects, held_out=held_out, validation=settings.split.validation, seed=seed)
        training = settings.training
        options = FitOptions(self.network, seed, training.epochs, training.batch_size, "cpu", self.root)
        return fit(data.windows, split.train, split.validation, signal=data.signal, options=options)

    def _export(self, data: Data, fitted: Fitted, model: Path) -> None:
        seen = data.windows.select(data.fold_of != 0)
        novelty = learn_novelty(fitted, seen, seed=0)
        runs = learn_runs(seen, len(data.signal.activities), rate_hz=data.signal.rate_hz)
        metadata = describe(
            data.settings, fitted, git_commit="", data_version="", split_id="", runs=runs, novelty=novelty
        )
        export(fitted, model, metadata, novelty=novelty)


class ClassicalPeer(Peer):
    """A classifier of scikit-learn on fixed features."""

    def __init__(self, name: str, what: str, make: Callable[[int], Any], *, own: bool, seeded: bool) -> None:
        self.name, self.what, self.make, self.own, self.seeded = name, what, make, own, seeded

    def code(self) -> str:
        """Of the features, and what the classifier says about itself."""
        features = [Path(_features.__file__)]
        if self.own:
            features += [SOURCE / "training" / "_descriptors.py", SOURCE / "training" / "_spectrum.py"]
        return code_of(*features) + repr(self.make(0)) + _versions("scikit-learn", "numpy")

    def run(self, data: Data, parts: Sequence[Part], model: Path) -> Iterator[Result]:
        """Fit on the features of all other folds."""
        features = data.descriptors if self.own else data.minimal
        classes = len(data.signal.activities)
        for seed, number in parts:
            train = data.fold_of != number
            began = time.process_time()
            fitted = self.make(seed).fit(features.values[train], data.windows.labels[train])
            seconds = time.process_time() - began + features.seconds * float(train.mean())
            answers = one_hot(fitted.predict(features.values[~train]), classes)
            if (seed, number) == (0, 0):
                write_atomically(model, pickle.dumps(fitted))
            yield Result((seed, number), answers, seconds)

    def open(self, model: Path, default: Path) -> Answer:
        """The features of the windows, then the classifier.

        The project's descriptors come from the exported default network, which gives them beside its answers.
        """
        fitted = pickle.loads(model.read_bytes())  # noqa: S301  written above
        if not self.own:
            return lambda windows: fitted.predict(_features.minimal_features(windows))
        describe = Classifier(default, threads=1).predict
        return lambda windows: fitted.predict(describe(windows).features)


def one_hot(labels: NDArray[np.integer], classes: int) -> NDArray[np.float32]:
    """Answers without a confidence as probabilities, float32 (n, K)."""
    return np.eye(classes, dtype=np.float32)[labels]


def _versions(*packages: str) -> str:
    return "".join(f" {package} {version(package)}" for package in packages)


def _svm(strength: float) -> Callable[[int], Any]:
    return lambda seed: make_pipeline(StandardScaler(), SVC(C=strength))


def in_process_peers(default: str, root: Path | None = None) -> list[Peer]:
    """The default network first, then its peers that run in this process.

    Args:
        default: the network's name.
        root: the project's folder, if the network is a module or file in it.
    """
    other = [
        NetworkPeer("dscnn", "dscnn", "this project's convolutional network on raw windows"),
        NetworkPeer(
            tinier_har.__file__,
            "tinier-har",
            "convolutions, a bidirectional GRU and attention, of the kind of TinierHAR; written by us, brought in as a "
            "file of one's own is",
        ),
    ]
    return [
        NetworkPeer(default, "default", f"{default}, this project's default network", root),
        *(peer for peer in other if peer.network != default),
        ClassicalPeer(
            "svm",
            "scikit-learn's RBF-SVM as it comes (C = 1) on this project's descriptors, standardised",
            _svm(1.0),
            own=True,
            seeded=False,
        ),
        ClassicalPeer("svm-10", "the same with C = 10", _svm(10.0), own=True, seeded=False),
        ClassicalPeer(
            "forest",
            "scikit-learn's random forest as it comes (100 trees) on tsfresh's minimal features",
            lambda seed: RandomForestClassifier(random_state=seed),
            own=False,
            seeded=True,
        ),
        ClassicalPeer(
            "forest-arena",
            "the same with the values of WHAR Arena (depth 8, at least 10 windows in a leaf)",
            lambda seed: RandomForestClassifier(max_depth=8, min_samples_leaf=10, random_state=seed),
            own=False,
            seeded=True,
        ),
    ]
