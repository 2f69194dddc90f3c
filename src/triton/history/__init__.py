"""The one reader over all of the log: archive, index in PostgreSQL, and what is live in Redis.

`History` is a `Log` that also reads what was trimmed. Whoever reads the past reads it here.
"""

from triton.history.filters import ALL, Filter
from triton.history.opening import history_of, log_of, open_past
from triton.history.past import Past
from triton.history.reader import History

__all__ = ["ALL", "Filter", "History", "Past", "history_of", "log_of", "open_past"]
