"""The peers, each a command of its own: ``build OLD NEW PATCH`` and ``apply OLD PATCH OUT``."""
