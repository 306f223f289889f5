"""How unlike the training data a window is: a distance in the space of the features, and what is usual for people.

The features are standardised. Within each class they are taken to be normal around the class's mean, with one
covariance for all classes (Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples, 2018), of
which the `DIRECTIONS` widest directions are kept and the others share one variance (Moghaddam and Pentland,
Probabilistic Visual Learning for Object Representation, 1997). A window's distance is the squared Mahalanobis distance
to the nearest class, per feature. docs/explanation/answers.md has the figures by which this was chosen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from har.inference import DISTANCE, SHARES
from har.training._alone import alone
from har.training._fitted import Fitted
from har.windows import WindowSet, group_folds

DIRECTIONS = 64
"""Directions with a variance of their own; a multiple of 16, so that rows of projections are aligned in memory."""
CLIP = 30.0
"""Standardised features are cut off at ± this."""
FEWEST = 100
"""With fewer windows, or fewer than three subjects, no distance is learned."""
MOST = 20_000
"""Of more windows, so many are drawn."""
_FOLDS = 5
_SMALLEST_SD = 0.01
_SMALLEST_VARIANCE = 1e-3

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Novelty:
    """A distance from the training data, and its distribution over subjects who are not in it.

    With z the standardised features: distance = min over classes c of (z·z - |projection·z|² + linear_c·z + offset_c)
    times `scale`.

    Attributes:
        shift: float64 (F,), subtracted from the features.
        gain: float64 (F,), multiplied afterwards.
        projection: float64 (F, DIRECTIONS).
        linear: float64 (F, C), a column per class.
        offset: float64 (C,).
        scale: float.
        distances: for each of `har.inference.SHARES` the distance that this share of the windows of subjects exceeds
            who were left out; subjects count equally.
    """

    shift: Floats
    gain: Floats
    projection: Floats
    linear: Floats
    offset: Floats
    scale: float
    distances: tuple[float, ...] = ()

    def distance(self, features: NDArray[np.floating]) -> Floats:
        """The distance of each window, (N,), from its features (N, F)."""
        # By torch, which is told how many threads to take; numpy's products take all.
        projection, linear = torch.from_numpy(self.projection), torch.from_numpy(self.linear)
        z = torch.from_numpy(np.clip((features - self.shift) * self.gain, -CLIP, CLIP))
        squares = (z * z).sum(dim=1) - (z @ projection).square().sum(dim=1)
        nearest = (squares[:, None] + z @ linear + torch.from_numpy(self.offset)).amin(dim=1) * self.scale
        found: Floats = nearest.numpy()
        return found


def learn_novelty(
    fitted: Fitted, windows: WindowSet, *, regimes: NDArray[np.integer] | None = None, seed: int = 0
) -> Novelty | None:
    """Learn the distance from windows, and calibrate it on subjects who are left out in turn.

    Args:
        fitted: computes the features.
        windows: labelled, of the subjects that the network was trained and calibrated on.
        regimes: (N,), the distribution that each of them comes from; an activity is a class of its own in each.
        seed: of the draw where there are more than `MOST` windows.

    Returns:
        None where there are too few windows or subjects.
    """
    classes = windows.labels.astype(np.int64)
    if regimes is not None:
        classes = classes + len(fitted.signal.activities) * regimes
    if len(windows) > MOST:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(windows))[:MOST])
        windows, classes = windows.select(drawn), classes[drawn]
    counts = Counter(windows.subjects.tolist())
    if len(windows) < FEWEST or len(counts) < 3:
        return None
    far = np.empty(len(windows))
    with alone():
        described = np.concatenate([fitted.describe(batch) for batch in windows.batches(1024)]).astype(np.float64)
        features = torch.from_numpy(described)
        for fold in group_folds(counts, min(_FOLDS, len(counts))):
            out = np.isin(windows.subjects, fold)
            far[out] = _fit(features[~out], classes[~out]).distance(described[out])
        found = _fit(features, classes)
    weights = np.array([1 / counts[subject] for subject in windows.subjects.tolist()])
    return Novelty(
        **{name: value for name, value in vars(found).items() if name != "distances"},
        distances=_exceeded(far, weights, SHARES),
    )


def _fit(features: Tensor, labels: NDArray[np.integer]) -> Novelty:
    shift = features.mean(dim=0)
    gain = 1 / features.std(dim=0, correction=0).clamp_min(_SMALLEST_SD)
    z = ((features - shift) * gain).clamp(-CLIP, CLIP)
    classes, of = np.unique(labels, return_inverse=True)
    members = [torch.from_numpy(np.flatnonzero(of == row)) for row in range(len(classes))]
    centres = torch.stack([z[rows].mean(dim=0) for rows in members])
    rest = z - centres[torch.from_numpy(of)]
    ascending, columns = torch.linalg.eigh(rest.T @ rest / len(rest))
    variances, directions = ascending.flip(0), columns.flip(1)
    size = len(variances)
    count = min(DIRECTIONS, size - 1)
    common = max(float(variances[count:].mean()), _SMALLEST_VARIANCE)
    projection = torch.zeros(size, DIRECTIONS, dtype=torch.float64)
    projection[:, :count] = directions[:, :count] * (1 - common / variances[:count].clamp_min(common)).sqrt()
    near = centres - centres @ projection @ projection.T
    return Novelty(
        shift.numpy(),
        gain.numpy(),
        projection.numpy(),
        (-2 * near.T).numpy(),
        (centres * near).sum(dim=1).numpy(),
        1 / (common * size),
    )


def _exceeded(values: Floats, weights: Floats, shares: tuple[float, ...]) -> tuple[float, ...]:
    """For each share the value that windows of this share of all weights exceed."""
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(below, 1 - np.array(shares), side="left").clip(0, len(values) - 1)
    return tuple(float(f"{value:.6g}") for value in values[order][places])


def add_distance(model: onnx.ModelProto, novelty: Novelty) -> None:
    """Add the output `distance`, float32 (N, 1), to a graph that has the output `features`."""
    graph = model.graph
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "shift": novelty.shift.astype(np.float32),
        "gain": novelty.gain.astype(np.float32),
        "low": np.array(-CLIP, np.float32),
        "high": np.array(CLIP, np.float32),
        # A sum over rows of any length would depend on their alignment in memory; a product does not.
        "ones": np.ones((len(novelty.shift), 16), np.float32),
        "projection": novelty.projection.astype(np.float32),
        "linear": novelty.linear.astype(np.float32),
        "offset": novelty.offset.astype(np.float32),
        "scale": np.array(novelty.scale, np.float32),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(value, f"novelty/{name}") for name, value in constants.items())

    def emit(kind: str, output: str, *inputs: str, **attributes: Any) -> None:
        names = [f"novelty/{name}" if name != "features" else name for name in inputs]
        target = output if output == DISTANCE else f"novelty/{output}"
        graph.node.append(helper.make_node(kind, names, [target], name=target, **attributes))

    emit("Sub", "centred", "features", "shift")
    emit("Mul", "scaled", "centred", "gain")
    emit("Clip", "z", "scaled", "low", "high")
    emit("Mul", "squares", "z", "z")
    emit("MatMul", "sums", "squares", "ones")
    emit("Slice", "length", "sums", "first", "second", "second")
    emit("MatMul", "projected", "z", "projection")
    emit("Mul", "projected_squares", "projected", "projected")
    emit("ReduceSum", "explained", "projected_squares", "second", keepdims=1)
    emit("Sub", "unexplained", "length", "explained")
    emit("MatMul", "products", "z", "linear")
    emit("Add", "moved", "products", "offset")
    emit("Add", "of_classes", "moved", "unexplained")
    emit("ReduceMin", "nearest", "of_classes", "second", keepdims=1)
    emit("Mul", DISTANCE, "nearest", "scale")
    graph.output.append(helper.make_tensor_value_info(DISTANCE, TensorProto.FLOAT, ["n", 1]))
