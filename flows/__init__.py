"""One file, one Prefect flow: thin doors to `har`. Nothing here computes what the library could."""
