"""Real servers on loopback, their databases, and who talks to them."""
