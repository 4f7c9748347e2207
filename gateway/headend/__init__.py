"""The head-end link: MQTT carries the journal out and signed documents in."""
