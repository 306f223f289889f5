"""Where tables and files are: a folder, or a prefix in a bucket of object storage."""

from har.storage._variables import boto_variables, use_storage

__all__ = ["boto_variables", "use_storage"]
