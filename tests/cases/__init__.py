"""Cases from the life of installs and publishers, as scripts that run real commands."""
