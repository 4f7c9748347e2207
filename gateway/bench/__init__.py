"""The simulated world: meters on a line, a broker, the demo. Never imported by the daemon."""
