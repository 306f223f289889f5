"""Messages of an MQTT broker, with QoS 1, a persistent session and acknowledgement by hand.

With MQTT 5, the consumers of `stream.mqtt.group` share the messages; with 3.1.1, which has no shared subscription, one
consumer of the project receives for all, and another takes its place when it ends. Either way the broker keeps what was
sent to a consumer that died, and another consumer of the same folder fetches it.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Mapping, Sequence

from har.settings import Settings
from har.streaming import _mqtt
from har.streaming._acks import acks_by_device
from har.streaming.envelope import StreamKey
from har.streaming.sources._mqtt_session import Handle, Session, shared
from har.streaming.sources._mqtt_slots import Slot, Slots
from har.streaming.sources._source import Delivery, SourceKind

_log = logging.getLogger("har.stream.mqtt")
_LOOK_EVERY_S = 2.0
_TELL_EVERY_S = 1.0
_DRAINED_S = 5.0


class MqttSource:
    """See the module; raises `SourceError` when it is made and the broker is away or refuses us.

    A broker that goes away later is waited for. `tell` publishes to `stream.mqtt.acks`/DEVICE with QoS 0, at most once
    a second per device, and not retained: a device that missed it sends again, and is told again, while a retained
    promise would outlive the data, say when a device uses a session's name again.
    """

    name = "mqtt"

    def __init__(self, settings: Settings, address: str = "") -> None:
        self._mqtt = _mqtt.resolved(settings.stream.mqtt, settings.root, address)
        self._version = _mqtt.version_of(self._mqtt)
        self._shares = self._version == _mqtt.V5 and bool(self._mqtt.group)
        self._slots = Slots(settings.path("stream"), self._mqtt.group)
        self._inbox: queue.Queue[Delivery] = queue.Queue(self._mqtt.in_flight)
        self._own: tuple[Slot, Session] | None = None
        self._adopted: list[tuple[Slot, Session]] = []
        self._paused = False
        self._withheld: list[Delivery] = []
        self._to_tell: dict[StreamKey, int] = {}
        self._told = self._looked = float("-inf")
        try:
            self._join(wait=True)
        except BaseException:
            self.close()
            raise

    @property
    def in_memory(self) -> int:
        """Messages that came and were not polled; at most `in_flight`."""
        return self._inbox.qsize()

    def poll(self, timeout_s: float, most: int) -> Sequence[Delivery]:
        """See `Source`."""
        self._tend()
        taken: list[Delivery] = []
        try:
            taken.append(self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait())
            while len(taken) < most:
                taken.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See `Source`; while paused, the acknowledgements wait, so that the broker sends no more."""
        if self._paused:
            self._withheld.extend(deliveries)
            return
        by_session: dict[int, list[Handle]] = {}
        for delivery in deliveries:
            by_session.setdefault(id(delivery.handle.session), []).append(delivery.handle)
        for handles in by_session.values():
            handles[0].session.acknowledge(handles)

    def tell(self, durable: Mapping[StreamKey, int]) -> None:
        """See `Source`."""
        self._to_tell.update(durable)
        self._tell_now()

    def pause(self) -> None:
        """See `Source`: with `in_flight` messages unacknowledged, the broker keeps the others."""
        self._paused = True

    def resume(self) -> None:
        """See `Source`."""
        self._paused = False
        withheld, self._withheld = self._withheld, []
        self.acknowledge(withheld)

    def close(self) -> None:
        """See `Source`; the broker keeps what comes until a consumer is back."""
        self.resume()
        self._told = float("-inf")
        self._tell_now()
        for slot, session in ([self._own] if self._own else []) + self._adopted:
            session.close()
            slot.release()
        self._own, self._adopted = None, []

    def _join(self, *, wait: bool = False) -> None:
        slot = self._slots.take() if self._shares else self._slots.take(most=1)
        if slot is None:
            if self._looked == float("-inf"):
                _log.info("another consumer of this project reads from %s; waiting for its end", self._mqtt.address)
            return
        topic = shared(self._mqtt) if self._shares else self._mqtt.topic
        try:
            self._own = slot, Session(self._mqtt, self._version, slot.client_id, topic, self._inbox)
        except BaseException:
            slot.release()
            raise
        if wait:
            self._own[1].wait()

    def _tend(self) -> None:
        """Fetch what dead consumers were sent, and give their names back when the broker has nothing more for them."""
        self._tell_now()
        if time.monotonic() - self._looked < _LOOK_EVERY_S:
            return
        if self._own is None:
            self._join()
        self._looked = time.monotonic()
        if not self._shares:
            return
        for slot, session in [one for one in self._adopted if one[1].quiet_for_s() > _DRAINED_S]:
            session.close(forget=True)
            slot.forget()
            self._adopted.remove((slot, session))
        for slot in self._slots.orphans():
            _log.info("fetching what the broker keeps for a consumer that ended (%s)", slot.client_id)
            self._adopted.append((slot, Session(self._mqtt, self._version, slot.client_id, None, self._inbox)))

    def _tell_now(self) -> None:
        if self._own is None:
            self._to_tell = {}
        if self._own is None or not self._to_tell or time.monotonic() - self._told < _TELL_EVERY_S:
            return
        client = self._own[1].client
        if not client.is_connected():
            return
        self._told = time.monotonic()
        for device, body in acks_by_device(self._to_tell).items():
            client.publish(f"{self._mqtt.acks}/{_mqtt.as_level(device)}", body, qos=0)
        self._to_tell = {}


SOURCE = SourceKind("mqtt", "an MQTT broker (stream.mqtt), or mqtt:HOST:PORT", MqttSource)
