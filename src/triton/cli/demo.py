"""Owns the demo command."""

from triton.cli.options import Data


def demo(data: Data = None) -> None:
    """Demo"""
