"""Where a table or a file is: a folder, or a prefix in a bucket of object storage.

`Location` is a small value that can be pickled. It holds no credentials: they are looked up at each use, in the
environment, a profile or the machine's role.
"""

from har.storage._address import check_address
from har.storage._location import Entry, Location
from har.storage._service import Service
from har.storage._variables import boto_variables, use_service

__all__ = ["Entry", "Location", "Service", "boto_variables", "check_address", "use_service"]
