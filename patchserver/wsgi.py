"""``patchserver.wsgi:app``: the application for gunicorn and its like, from the environment."""

from __future__ import annotations

import os

from patchserver.application import create_app
from patchserver.settings import settings_from_environment

app = create_app(settings_from_environment(os.environ))
