#!/usr/bin/env python3
"""The one use of wget in a health check: the last argument must answer."""

import sys
import urllib.request

urllib.request.urlopen(sys.argv[-1], timeout=4).read()  # noqa: S310  a health check of this machine
