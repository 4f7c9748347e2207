"""The law, as values: what is true, what may be closed, what follows. No clock, disk, log or await.

Read in this order: model, signature, documents, standing, fact, admission, kept, image,
reconnection, pacing, plan, waiting, status, promise, journeys.
"""
