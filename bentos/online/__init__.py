"""The online service: windows over HTTP in, activities out, within milliseconds."""
