"""What live streams cost: Triton's API beside a floor, nginx with nchan, and what people write in FastAPI."""

from bench.live.run import run

__all__ = ["run"]
