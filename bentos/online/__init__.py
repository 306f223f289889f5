"""The online service: classifies windows over HTTP within milliseconds."""
