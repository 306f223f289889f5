"""What the exporter shows of the project, one module per source; `infra.observability.exporter.parts` names them.

Reading imports neither MLflow nor torch, takes no lock that a writer waits for, and writes nothing.
"""

from infra.observability.figures._files import disk, files, journal
from infra.observability.figures._flows import Flows, known_server
from infra.observability.figures._lake import LakeFigures
from infra.observability.figures._metric import Gauge, gauge
from infra.observability.figures._model import model
from infra.observability.figures._monitoring import Monitoring
from infra.observability.figures._release import release
from infra.observability.figures._stream import hot_store, stream

__all__ = [
    "Flows",
    "Gauge",
    "LakeFigures",
    "Monitoring",
    "disk",
    "files",
    "gauge",
    "hot_store",
    "journal",
    "known_server",
    "model",
    "release",
    "stream",
]
