"""Pretrained feature extractors: the catalog, their input contracts and their weights."""
