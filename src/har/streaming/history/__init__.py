"""The table of predictions for dashboards, in Postgres: partitions by day, written by COPY, each row once."""

from har.streaming.history._history import History, HistoryRow, HistoryState, Written, open_history

__all__ = ["History", "HistoryRow", "HistoryState", "Written", "open_history"]
