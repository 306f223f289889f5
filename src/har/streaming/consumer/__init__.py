"""The process of `har stream run`: receives, answers and settles; N of them share the work."""

from har.streaming.consumer._answering import Answered, Answerer, Champion, Model
from har.streaming.consumer._consumer import Consumer, Work
from har.streaming.consumer._delivering import Hot
from har.streaming.consumer._receiving import Receiver, refusal
from har.streaming.consumer._service import Service
from har.streaming.consumer._worker import Worker, request_id

__all__ = [
    "Answered",
    "Answerer",
    "Champion",
    "Consumer",
    "Hot",
    "Model",
    "Receiver",
    "Service",
    "Work",
    "Worker",
    "refusal",
    "request_id",
]
