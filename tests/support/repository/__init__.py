"""A publisher with a repository, sessions of its clients, and repositories of any kind."""
