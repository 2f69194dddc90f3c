"""One small interface over job queues, so that an application can be written once and run on either."""

from triton.task_queue.factory import open_task_queue, task_queue_on
from triton.task_queue.protocol import Cancellation, Task, TaskQueue, TaskState

__all__ = [
    "Cancellation",
    "Task",
    "TaskQueue",
    "TaskState",
    "open_task_queue",
    "task_queue_on",
]
