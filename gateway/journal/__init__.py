"""The journal: the durable truth of the gateway: one SQLite file, an archive, the marks.

Owns the files and the order in which things reach the disk. Must never judge what it stores.
"""
