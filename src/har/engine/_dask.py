"""Workers of a Dask cluster: one that exists, or one on this machine for the time of a job.

The job gives each part to one worker by its address, and only to workers that it has compared with itself. So it knows
which part a worker that ends had, and a worker that joins later gets nothing before it was looked at.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from har.console import console
from har.engine._outcomes import Done, Outcome, name_of, run_sent, send
from har.engine._processes import LEAST_POLARS_THREADS
from har.engine._same import PACKAGES, Place, difference, here, marked_folders, probe
from har.errors import EngineError
from har.inference import granted_cores
from har.settings import Settings

CONNECT_S = 10.0
_LOOK_S = 1.0
_REMEDY = (
    "Install this project's commit and its requirements there (or use its train image), let the workers see the same "
    "project folder or keep the lake on object storage, then restart them; `har engine` shows each worker."
)


@dataclass
class _Worker:
    address: str
    place: Place
    slots: int
    running: set[str] = field(default_factory=set)
    seen: float = 0.0  # the scheduler's stamp of the last sign of life …
    heard_at: float = field(default_factory=time.monotonic)  # … and when it last changed


@dataclass
class _Running:
    worker: str
    done: Done
    future: Any = None


class DaskWorkers:
    """A connection to a cluster whose workers are as the job is.

    Raises:
        EngineError: the package is missing, the scheduler cannot be reached, or a worker is not as the job is.
    """

    def __init__(self, settings: Settings, *, refuse: bool = True) -> None:
        self._settings = settings
        self._engine = settings.engine
        self._refuse = refuse
        self._lock = threading.RLock()
        self._workers: dict[str, _Worker] = {}
        self._silent: dict[str, _Worker] = {}
        self._running: dict[str, _Running] = {}
        self._numbers = itertools.count()
        self._asked: set[str] = set()
        self._ours = here()
        self._snapshot_at = time.monotonic()
        self._with_workers_at = time.monotonic()
        self._closing = threading.Event()
        self._stack = ExitStack()
        self.places: list[Place] = []

    def __enter__(self) -> DaskWorkers:
        try:
            self._marks = self._stack.enter_context(marked_folders(self._settings))
            self.address, self._client = self._stack.enter_context(_connected(self._settings))
            self._first_look()
            self._watcher = threading.Thread(target=self._watch, name="dask-workers", daemon=True)
            self._watcher.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._closing.set()
        with self._lock:
            self._running.clear()
        self._watcher.join(_LOOK_S)
        self._stack.close()

    def take(self, function: Callable[[Any], Any], part: Any, done: Done) -> bool:
        sent = send(function, part)
        with self._lock:
            if self._client.status != "running":
                return False
            free = [worker for worker in self._workers.values() if len(worker.running) < worker.slots]
            if not free:
                return False
            worker = min(free, key=lambda one: len(one.running) / one.slots)
            key = f"{function.__name__} {name_of(part)} {id(self):x}-{next(self._numbers)}"
            self._running[key] = running = _Running(worker.address, done)
            worker.running.add(key)
            running.future = self._client.submit(
                run_sent, sent, key=key, workers=[worker.address], allow_other_workers=False, pure=False, retries=0
            )
        running.future.add_done_callback(lambda future: self._ended(key, future))
        return True

    def look(self) -> None:
        if self._client.status != "running":
            raise self._away("the connection to it is lost")
        silent_s = time.monotonic() - self._snapshot_at
        if silent_s > self._engine.lost_after_s:
            raise self._away(f"it has not answered for {silent_s:.0f} s")
        lost: list[tuple[_Running, str]] = []
        with self._lock:
            for worker in tuple(self._workers.values()):
                silent_s = time.monotonic() - worker.heard_at
                if silent_s > self._engine.lost_after_s:
                    lost += self._drop(worker, f"{worker.place.name} gave no sign of life for {silent_s:.0f} s")
                    self._silent[worker.address] = worker
            if self._workers:
                self._with_workers_at = time.monotonic()
            without_s = time.monotonic() - self._with_workers_at
        for one, why in lost:
            one.done(Outcome(lost=why))
        if without_s > max(self._engine.lost_after_s, CONNECT_S):
            raise EngineError(
                where=self.address,
                problem=f"the cluster has had no worker that this job can use for {without_s:.0f} s",
                remedy="What is done stays. Start workers, then run the same command again for the rest.",
            )

    def _away(self, what: str) -> EngineError:
        return EngineError(
            where=self.address,
            problem=f"the Dask scheduler is away: {what}",
            remedy="What is done stays. Start the scheduler and its workers again (or clear engine.address in "
            "har.toml), then run the same command again for the rest.",
        )

    def _drop(self, worker: _Worker, why: str) -> list[tuple[_Running, str]]:
        """Forget a worker; its parts are to run elsewhere."""
        del self._workers[worker.address]
        dropped = []
        for key in worker.running:
            running = self._running.pop(key, None)
            if running is not None:
                if running.future is not None:
                    running.future.release()
                dropped.append((running, why))
        worker.running.clear()
        return dropped

    def _ended(self, key: str, future: Any) -> None:
        with self._lock:
            running = self._running.pop(key, None)
            if running is None:  # given up before
                return
            worker = self._workers.get(running.worker)
            if worker is not None:
                worker.running.discard(key)
        outcome = self._outcome(future, running.worker)
        if outcome is not None:
            running.done(outcome)

    def _outcome(self, future: Any, address: str) -> Outcome[Any] | None:
        from distributed.scheduler import KilledWorker

        if self._closing.is_set() or future.status in ("cancelled", "lost"):
            # The scheduler is away, which `look` finds, or has dropped the task.
            return None if self._closing.is_set() else Outcome(lost=f"the scheduler dropped the task at {address}")
        try:
            result: Outcome[Any] = future.result(timeout=self._engine.lost_after_s)
        except KilledWorker:
            return Outcome(lost=f"{address} was killed")
        except TimeoutError:
            return Outcome(lost=f"{address} ended before its result was fetched")
        except Exception as error:  # noqa: BLE001  of Dask itself: the part's own errors are in the outcome
            return Outcome(error=error)
        return result

    def _first_look(self) -> None:
        """Compare all workers with the job before there is any work."""
        found = self._listed()
        waiting_until = time.monotonic() + CONNECT_S
        while not found and time.monotonic() < waiting_until:
            time.sleep(0.2)
            found = self._listed()
        if not found:
            raise EngineError(
                where=self.address,
                problem="the Dask cluster has no workers",
                remedy=f"Start some: dask worker {self.address}",
            )
        self._compare(found)
        refused = [place for place in self.places if place.problem]
        if refused and self._refuse:
            raise EngineError(
                where=f"workers of {self.address}",
                problem="; ".join(f"{place.name}: {place.problem}" for place in refused) + ". No part was run",
                remedy=_REMEDY,
            )

    def _listed(self) -> dict[str, dict[str, Any]]:
        workers: dict[str, dict[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _compare(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask workers what they have; those that are as the job is get parts from now on."""
        addresses = list(found)
        self._asked.update(addresses)
        answers = self._client.run(probe(), PACKAGES, self._marks, workers=addresses, on_error="return")
        for address, about in found.items():
            there = answers.get(address, ConnectionError("no answer"))
            problem = difference(there, self._ours)
            known = {} if isinstance(there, Exception) else there
            place = Place(
                f"{address} ({about.get('host') or '?'}, {about.get('name')})",
                known.get("python", ""),
                known.get("code", ""),
                known.get("packages", {}),
                about.get("nthreads", 1),
                int(about.get("memory_limit") or 0) // 2**20,
                problem,
            )
            with self._lock:
                self.places.append(place)
                if not problem:
                    self._workers[address] = _Worker(address, place, place.cores)

    def _watch(self) -> None:
        """In a thread of its own: see which workers there are; look at new ones before they get a part."""
        while not self._closing.wait(_LOOK_S + len(self._workers) / 100):
            try:
                found = self._listed()
            except Exception as error:  # noqa: BLE001  `look` finds out how long this lasts
                if not self._closing.is_set():
                    console.print(f"[yellow]The Dask scheduler does not answer:[/] {error}", highlight=False)
                continue
            self._snapshot_at = time.monotonic()
            self._take_note(found)
            fresh = {address: about for address, about in found.items() if address not in self._asked}
            if fresh:
                self._asked.update(fresh)
                threading.Thread(target=self._welcome, args=(fresh,), daemon=True).start()

    def _take_note(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        lost = []
        with self._lock:
            for worker in (*self._workers.values(), *self._silent.values()):
                about = found.get(worker.address)
                if worker.address in self._silent:
                    self._hear_again(worker, about)
                elif about is None:
                    lost += self._drop(worker, f"{worker.place.name} ended{self._limit(worker)}")
                elif about["last_seen"] != worker.seen:
                    worker.seen, worker.heard_at = about["last_seen"], time.monotonic()
        for one, why in lost:
            one.done(Outcome(lost=why))

    def _hear_again(self, worker: _Worker, about: Mapping[str, Any] | None) -> None:
        """A worker that was given up gets parts again once it gives a sign of life."""
        if about is None or about["last_seen"] != worker.seen:
            del self._silent[worker.address]
        if about is not None and about["last_seen"] != worker.seen:
            worker.seen, worker.heard_at = about["last_seen"], time.monotonic()
            self._workers[worker.address] = worker

    def _limit(self, worker: _Worker) -> str:
        return f" (its limit of memory: {worker.place.memory_mb} MB)" if worker.place.memory_mb else ""

    def _welcome(self, fresh: Mapping[str, Mapping[str, Any]]) -> None:
        try:
            self._compare(fresh)
        except Exception as error:  # noqa: BLE001  it ended while it was asked; its successor has another address
            if not self._closing.is_set():
                console.print(f"[yellow]A worker that joined gets no part:[/] {error}", highlight=False)
            return
        for place in self.places:
            if place.problem and any(place.name.startswith(address) for address in fresh):
                console.print(f"[yellow]{place.name} gets no part:[/] {place.problem}", highlight=False)


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[str, Any]]:
    """The address of a scheduler, and a client of it; a cluster of this machine ends with the block."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise EngineError(
            where="engine.kind",
            problem='"dask" needs the package distributed, which is not installed',
            remedy="Install the extra: uv pip install -e '.[dask]', or set engine.kind to threads or processes.",
        ) from error
    engine = settings.engine
    with dask.config.set(_CONFIG), ExitStack() as stack:
        if engine.address:
            address: Any = engine.address
        else:
            cluster: Any = LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=engine.workers or granted_cores(),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # with None, Dask would take port 8787 for its empty HTTP server
                scheduler_kwargs={"dashboard": False},
                memory_limit=f"{engine.worker_memory_mb}MiB" if engine.worker_memory_mb else "auto",
                silence_logs="CRITICAL",
            )
            address = stack.enter_context(cluster)
        try:
            client: Any = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise EngineError(
                where="engine.address",
                problem=f"no Dask scheduler answers at {engine.address}: {error}",
                remedy="Start it (dask scheduler), correct engine.address, or clear it for a cluster on this machine.",
            ) from error
        stack.callback(client.close, timeout=5)
        yield client.scheduler.address, client


_CONFIG = {
    "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
    "distributed.comm.timeouts.tcp": "30s",
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.worker-ttl": "5 minutes",
    "distributed.admin.tick.limit": "60s",  # no complaints where a part keeps a worker's interpreter busy
    "distributed.nanny.pre-spawn-environ.POLARS_MAX_THREADS": LEAST_POLARS_THREADS,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Of the client, and of a cluster on this machine; an existing cluster has settings of its own."""
