"""The archive: create-once objects in a folder or an S3 bucket, addressed by key or by content."""

from triton.archive.opening import open_archive
from triton.archive.store import ArchiveStore, Stored, TooLargeError, Upload

__all__ = ["ArchiveStore", "Stored", "TooLargeError", "Upload", "open_archive"]
