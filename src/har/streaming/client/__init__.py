"""The reference client: cuts samples into messages, spools them, and forgets what the project has on its disk."""

from har.streaming.client._feeds import lines, paced
from har.streaming.client._message import Form, Made, Stretch, cut, make
from har.streaming.client._recordings import DEVICE, form_of, from_files, from_inbox, from_lake, named_file
from har.streaming.client._replaying import in_time_order, renamed, to_the_present
from har.streaming.client._sender import AHEAD, Delivered, deliver
from har.streaming.client._spool import Spool
from har.streaming.client.links import open_link

__all__ = [
    "AHEAD",
    "DEVICE",
    "Delivered",
    "Form",
    "Made",
    "Spool",
    "Stretch",
    "cut",
    "deliver",
    "form_of",
    "from_files",
    "from_inbox",
    "from_lake",
    "in_time_order",
    "lines",
    "make",
    "named_file",
    "open_link",
    "paced",
    "renamed",
    "to_the_present",
]
