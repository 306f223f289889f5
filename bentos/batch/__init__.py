"""The batch scorer: a Parquet of samples in, a Parquet of predictions out."""
