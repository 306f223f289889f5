"""Header values that the batch service and its client agree on; only constants, for the client imports no server."""

VERSION_HEADER = "X-Model-Version"
"""Of every answer: the version of the model that the service holds."""
FEATURES_HEADER = "X-Features"
"""Of a request: names of the features to be returned, percent-encoded, separated by commas."""
PARQUET = "application/vnd.apache.parquet"
"""The media type of samples and predictions."""
