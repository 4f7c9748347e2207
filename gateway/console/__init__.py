"""The console room: how people at the feeder look in and hand in what they carry."""
