"""The journal: the durable truth of the gateway, in one SQLite file.

Owns the file and the order in which things reach the disk. Must never judge what it stores.
"""
