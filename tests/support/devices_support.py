"""Write files as research accelerometers do; from the published descriptions of the formats.

- .cwa: Docs/ax3/cwa.md and ax3-technical.md of github.com/digitalinteraction/openmovement
- .gt3x: github.com/actigraph/GT3X-File-Format (README, LogRecords/Activity.md, LogRecords/Parameters.md)
- .bin: "Decoding .bin files", GENEActiv instructions for use, ActivInsights
"""

from __future__ import annotations

import datetime as dt
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

EPOCH = dt.datetime(1970, 1, 1)
START = dt.datetime(2024, 5, 6, 9, 30)
"""A wall clock."""


def microseconds(wall: dt.datetime) -> int:
    """A wall clock's time in µs since 1970, as if it showed UTC."""
    return (wall - EPOCH) // dt.timedelta(microseconds=1)


def cwa_header(
    *,
    rate_hz: int = 100,
    range_g: int = 8,
    gyroscope: bool = False,
    device: int = 39434,
    zone: int = -1,
    note: str = "",
) -> bytes:
    """1,024 bytes."""
    rate = _rate_code(rate_hz, range_g)
    head = bytearray(b"\xff" * 1024)
    head[:4] = b"MD" + struct.pack("<H", 1020)
    head[4] = 0x64 if gyroscope else 0x17
    struct.pack_into("<HIH", head, 5, device & 0xFFFF, 26, device >> 16)
    struct.pack_into("<III", head, 13, 0, 0, 0)
    head[36], head[41] = rate, 44
    struct.pack_into("<h", head, 42, zone)
    head[64:512] = note.encode().ljust(448, b" ")
    return bytes(head)


def cwa_blocks(
    counts: np.ndarray,
    starts_us: np.ndarray,
    *,
    rate_hz: int = 100,
    range_g: int = 8,
    gyroscope: bool = False,
    first: int = 0,
) -> bytes:
    """Blocks of 512 bytes.

    Args:
        counts: int (B, n, 3) packed in 10 bits and a shift, 256 counts in one g; or (B, n, 6), gyroscope
            first, in 16 bits.
        starts_us: int64 (B,), the wall clock at each block's first sample.
        rate_hz: as stated in the blocks.
        range_g: as stated in the blocks.
        gyroscope: of an AX6: 6 axes, 2,048 counts in one g, 2,000 deg/s in 32,768.
        first: the first block's number.
    """
    blocks = np.zeros((len(counts), 512), np.uint8)
    words = blocks.view("<u2")
    size = counts.shape[1]
    seconds, fraction = np.divmod(starts_us, 1_000_000)
    part = (fraction * 2**15 // 1_000_000).astype(np.uint16)
    blocks[:, :2] = np.frombuffer(b"AX", np.uint8)
    words[:, 1] = 508
    words[:, 2] = 0x8000 | part
    blocks[:, 10:14] = (first + np.arange(len(counts), dtype="<u4")).astype("<u4").view(np.uint8).reshape(-1, 4)
    blocks[:, 14:18] = packed_time(seconds).view(np.uint8).reshape(-1, 4)
    words[:, 9] = (3 << 13 | 2 << 10 if gyroscope else 0) | 300
    words[:, 10] = 250
    blocks[:, 23], blocks[:, 24] = 190, _rate_code(rate_hz, range_g)
    blocks[:, 25] = 0x62 if gyroscope else 0x30
    # Old readers know no fractions: the whole second's sample is moved back by as much.
    words.view("<i2")[:, 13] = -((part.astype(np.int64) * 2 * rate_hz) >> 16)
    words[:, 14] = size
    if gyroscope:
        words[:, 15 : 15 + 6 * size] = counts.reshape(len(counts), -1).astype("<i2").view("<u2")
    else:
        blocks[:, 30 : 30 + 4 * size] = _packed(counts).view(np.uint8).reshape(len(counts), -1)
    words[:, 255] = -words[:, :255].sum(axis=1, dtype=np.uint64).astype(np.int64) & 0xFFFF
    return blocks.tobytes()


def _packed(counts: np.ndarray) -> np.ndarray:
    """Three values of 10 bits and, in the top bits, by how much they are shifted; uint32 (B, n)."""
    largest = np.abs(counts).max(axis=-1)
    shift = np.zeros(largest.shape, np.int64)
    for _ in range(3):
        shift += (largest >> shift) > 511
    values = (counts >> shift[..., None]) & 0x3FF
    return np.asarray(shift << 30 | values[..., 2] << 20 | values[..., 1] << 10 | values[..., 0], "<u4")


def packed_time(seconds: np.ndarray) -> np.ndarray:
    """Seconds since 1970 as year, month, day, hour, minute and second in 32 bits."""
    stamps = seconds.astype("datetime64[s]")
    days, months, years = (stamps.astype(f"datetime64[{unit}]") for unit in "DMY")
    year = years.astype(np.int64) - 30
    month = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    second = (stamps - days.astype("datetime64[s]")).astype(np.int64)
    clock = second // 3600 << 12 | second // 60 % 60 << 6 | second % 60
    return np.asarray(year << 26 | month << 22 | day << 17 | clock, "<u4")


def _rate_code(rate_hz: int, range_g: int) -> int:
    return (4 - range_g.bit_length() + 1) << 6 | 15 - (3200 // rate_hz).bit_length() + 1


def write_cwa(
    path: Path,
    accel_g: np.ndarray,
    *,
    gyro_deg_s: np.ndarray | None = None,
    start: dt.datetime = START,
    rate_hz: int = 100,
    true_hz: float = 0.0,
    pause_at: int = 0,
    pause_s: float = 0.0,
    **header: object,
) -> Path:
    """An AX3's file, or an AX6's if there is a gyroscope; whole blocks of 120 or 40 samples only.

    `true_hz` is the rate at which the device really takes samples; it pauses for `pause_s` before the block `pause_at`.
    """
    size = 120 if gyro_deg_s is None else 40
    blocks = len(accel_g) // size
    starts = microseconds(start) + np.arange(blocks) * size * 1e6 / (true_hz or rate_hz)
    starts[pause_at:] += pause_s * 1e6 if pause_at else 0
    scale = 256 if gyro_deg_s is None else 2048
    counts = np.rint(accel_g[: blocks * size] * scale).astype(np.int64)
    if gyro_deg_s is not None:
        turns = np.rint(gyro_deg_s[: blocks * size] * 32768 / 2000).astype(np.int64)
        counts = np.hstack([turns, counts])
    six = gyro_deg_s is not None
    body = cwa_blocks(
        counts.reshape(blocks, size, -1), np.rint(starts).astype(np.int64), rate_hz=rate_hz, gyroscope=six
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cwa_header(rate_hz=rate_hz, gyroscope=six, **header) + body)  # type: ignore[arg-type]
    return path


def write_bin(
    path: Path,
    accel_g: np.ndarray,
    *,
    start: dt.datetime = START,
    rate_hz: float = 100.0,
    subject: str = "",
    place: str = "",
    zone: str = "GMT +00:00",
    serial: str = "101806",
) -> Path:
    """A GENEActiv's file; whole pages of 300 samples only. Gains of 25,600 and no offsets: 256 counts in one g."""
    counts = np.rint(accel_g * 256).astype(np.int64)
    pages = len(counts) // 300
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(bin_header(pages, rate_hz, start, subject, place, zone, serial).encode())
        for number, digits in enumerate(bin_digits(counts[: pages * 300])):
            file.write(bin_page(number, start, rate_hz, serial) + digits + b"\r\n")
    return path


def bin_header(pages: int, rate_hz: float, start: dt.datetime, subject: str, place: str, zone: str, serial: str) -> str:
    """59 lines."""
    sections = {
        "Device Identity": {
            "Device Unique Serial Code": serial,
            "Device Type": "GENEActiv",
            "Device Model": "1.2",
            "Device Firmware Version": "Ver06.17",
            "Calibration Date": "2023-09-08 14:14:04:000",
        },
        "Device Capabilities": {
            "Accelerometer Range": "-8 to 8",
            "Accelerometer Resolution": "0.0039",
            "Accelerometer Units": "g",
            "Light Meter Range": "0 to 20000",
            "Light Meter Resolution": "3 to 48",
            "Light Meter Units": "lux",
            "Temperature Sensor Range": "0 to 70",
            "Temperature Sensor Resolution": "0.1",
            "Temperature Sensor Units": "deg. C",
        },
        "Configuration Info": {
            "Measurement Frequency": f"{rate_hz:g} Hz",
            "Measurement Period": "576 Hours",
            "Start Time": f"{start:%Y-%m-%d %H:%M:%S}:000",
            "Time Zone": zone,
        },
        "Trial Info": dict.fromkeys(
            (
                "Study Centre",
                "Study Code",
                "Investigator ID",
                "Exercise Type",
                "Config Operator ID",
                "Config Time",
                "Config Notes",
                "Extract Operator ID",
                "Extract Time",
                "Extract Notes",
            ),
            "",
        ),
        "Subject Info": {
            "Device Location Code": place,
            "Subject Code": subject,
            "Date of Birth": "1900-01-01",
            **dict.fromkeys(("Sex", "Height", "Weight", "Handedness Code", "Subject Notes"), ""),
        },
        "Calibration Data": {
            **{f"{axis} {kind}": value for axis in "xyz" for kind, value in (("gain", "25600"), ("offset", "0"))},
            "Volts": "54",
            "Lux": "997",
        },
        "Memory Status": {"Number of Pages": str(pages)},
    }
    parts = ["\r\n".join([name, *(f"{key}:{value}" for key, value in rows.items())]) for name, rows in sections.items()]
    return "\r\n\r\n".join(parts) + "\r\n\r\n"


def bin_page(number: int, start: dt.datetime, rate_hz: float, serial: str) -> bytes:
    """The nine lines above a page's samples."""
    time = start + dt.timedelta(seconds=number * 300 / rate_hz)
    return (
        f"Recorded Data\r\nDevice Unique Serial Code:{serial}\r\nSequence Number:{number}\r\n"
        f"Page Time:{time:%Y-%m-%d %H:%M:%S}:{time.microsecond // 1000:03d}\r\nUnassigned:\r\nTemperature:31.2\r\n"
        f"Battery voltage:4.0000\r\nDevice Status:Recording\r\nMeasurement Frequency:{rate_hz:.1f}\r\n"
    ).encode()


def bin_digits(counts: np.ndarray) -> Iterator[bytes]:
    """The samples of each page in hexadecimal digits: x, y, z in 12 bits, light in 10, button and a spare bit."""
    x, y, z = (counts & 0xFFF).T
    packed = np.stack([x >> 4, (x & 15) << 4 | y >> 8, y & 255, z >> 4, (z & 15) << 4, np.zeros_like(z)], axis=1)
    for page in packed.astype(np.uint8).reshape(-1, 1800):
        yield page.tobytes().hex().upper().encode()


def write_gt3x(
    path: Path,
    accel_g: np.ndarray,
    *,
    start: dt.datetime = START,
    rate_hz: int = 100,
    asleep: range = range(0),
    wide: bool = False,
    info: dict[str, str] | None = None,
    damage: int = -1,
    bare: bool = False,
) -> Path:
    """An ActiGraph's file, 256 counts in one g; whole seconds only.

    Args:
        path: the file.
        accel_g: (n, 3).
        start: the wall clock at the first sample.
        rate_hz: of the recording.
        asleep: seconds of which no samples are written, in idle sleep.
        wide: records of type 26, with 16 bits per value, instead of type 0, with 12.
        info: lines of info.txt that differ.
        damage: the number of a record that is overwritten with zeros.
        bare: without a record of parameters, as old firmware wrote it.
    """
    seconds = len(accel_g) // rate_hz
    counts = np.rint(accel_g[: seconds * rate_hz] * 256).astype(np.int64)
    payloads = counts.astype("<i2").reshape(seconds, -1) if wide else _twelve_bits(counts, seconds)
    first = microseconds(start) // 1_000_000
    log = [] if bare else [_record(21, first, struct.pack("<HHIHHI", 0, 55, 0x09400000, 1, 10, rate_hz))]
    log += [_record(26 if wide else 0, first + n, payloads[n].tobytes()) for n in range(seconds) if n not in asleep]
    if damage >= 0:
        log[damage] = bytes(len(log[damage]))
    ticks = (start - dt.datetime(1, 1, 1)) // dt.timedelta(microseconds=1) * 10
    lines = {
        "Serial Number": "MOS2E00000000",
        "Device Type": "wGT3XBT",
        "Firmware": "1.9.2",
        "Sample Rate": str(rate_hz),
        "Start Date": str(ticks),
        "TimeZone": "00:00:00",
        "Acceleration Scale": "256.0",
        **(info or {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("log.bin", b"".join(log))
        archive.writestr("info.txt", "\r\n".join(f"{key}: {value}" for key, value in lines.items()))
    return path


def _twelve_bits(counts: np.ndarray, seconds: int) -> np.ndarray:
    """y, x, z of each sample in 12 bits, two's complement, the most significant bit first; uint8 (seconds, …)."""
    values = counts[:, [1, 0, 2]].reshape(seconds, -1) & 0xFFF
    if values.shape[1] % 2:
        values = np.hstack([values, np.zeros((seconds, 1), np.int64)])
    one, two = values[:, 0::2], values[:, 1::2]
    return np.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], axis=2).astype(np.uint8).reshape(seconds, -1)


def _record(kind: int, second: int, payload: bytes) -> bytes:
    record = struct.pack("<BBIH", 0x1E, kind, second, len(payload)) + payload
    return record + bytes([int(np.bitwise_xor.reduce(np.frombuffer(record, np.uint8))) ^ 0xFF])


def write_actilife(
    path: Path,
    accel_g: np.ndarray,
    *,
    start: dt.datetime = START,
    rate_hz: int = 32,
    stamps: bool = False,
    header: bool = True,
) -> Path:
    """ActiLife's RAW export: ten lines, then a header, if wanted, and the samples."""
    above = [
        f"------------ Data File Created By ActiGraph GT3X+ ActiLife v6.13.4 Firmware v1.9.2 date format dd/MM/yyyy "
        f"at {rate_hz} Hz  Filter Normal -----------",
        "Serial Number: XYZ2E00000000",
        f"Start Time {start:%H:%M:%S}",
        f"Start Date {start:%d/%m/%Y}",
        "Epoch Period (hh:mm:ss) 00:00:00",
        "Download Time 10:00:00",
        "Download Date 07/05/2024",
        "Current Memory Address: 0",
        "Current Battery Voltage: 3.85     Mode = 12",
        "--------------------------------------------------",
    ]
    names = [*(["Timestamp"] if stamps else []), *(f"Accelerometer {axis}" for axis in "XYZ")]
    rows = [",".join(names)] if header else []
    for number, values in enumerate(accel_g):
        fields = [f"{value:.3f}" for value in values]
        if stamps:
            fields.insert(0, f"{start + dt.timedelta(seconds=number / rate_hz):%d/%m/%Y %H:%M:%S.%f}"[:-3])
        rows.append(",".join(fields))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join([*above, *rows]) + "\r\n")
    return path
