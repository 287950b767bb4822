"""The steps, each a module; `down_revision` says what each follows."""
