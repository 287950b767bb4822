"""Laws and promises that hold through builder, server and client together."""
