"""Where tables and files are: a folder, or a prefix in a bucket of object storage."""
