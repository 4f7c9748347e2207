"""The host room: time and the service manager of the machine this runs on."""
