"""The law, as values: what is true, what may be closed, what follows. No clock, disk, log or await.

Read in this order: model, signature, documents, standing, reconnection, pacing, fact, admission,
image, plan, status.
"""
