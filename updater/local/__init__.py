"""Files of one install on this machine: settings, identity, launcher; and its session."""
