"""Running: the worker, one duty a file.

fetcher takes what there are slots for, executor runs it, outcome says what it came to, committer
writes that down in batches; heart keeps the lease from a thread, maintenance looks after the store,
ticker fires schedules.
"""

from aioqueue.worker.options import WorkerOptions
from aioqueue.worker.scheduler import Scheduler
from aioqueue.worker.worker import Worker

__all__ = ["Scheduler", "Worker", "WorkerOptions"]
