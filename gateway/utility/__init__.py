"""The other end: the utility's keys, its signed documents, and a small reference head end.

May see every room of the gateway. Must never be imported by the daemon: a gateway that holds a
signing key could write its own orders.
"""
