"""From a source on disk to a scanned, split index."""
