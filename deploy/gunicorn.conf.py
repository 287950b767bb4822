"""gunicorn behind nginx: ``gunicorn --config deploy/gunicorn.conf.py``.

What the application needs to know stands in the environment, see patchserver.service.
"""

import multiprocessing
import os
import shutil
import tempfile
from typing import Any

# Each process counts in a file of its own, and /metrics adds them up. The folder has to be
# known before the application is imported, and to be empty at the start. This file is read
# again by every reload.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="patchserver-")

wsgi_app = "patchserver.run.wsgi:app"
bind = os.environ.get("UPSWAP_BIND", "127.0.0.1:8081")
workers = int(os.environ.get("UPSWAP_WORKERS", str(multiprocessing.cpu_count() + 1)))
worker_class = "gthread"
threads = 8

# nginx reads slow clients' requests before it passes them on and sends the answers, so
# whatever takes this long here hangs.
timeout = 60  # seconds
graceful_timeout = 30  # seconds for what is under way when the server is told to end
keepalive = 75  # seconds; longer than nginx keeps its connections

# nginx sets these headers and passes on no others like them; the application believes as
# many proxies as UPSWAP_PROXIES says, gunicorn itself none.
forwarded_allow_ips = ""
control_socket_disable = True  # nobody asks it anything
limit_request_line = 8190  # bytes
limit_request_fields = 60

accesslog = None  # the application writes a line for each request, as JSON
errorlog = "-"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "patchserver.ops.logs.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
    },
}


def child_exit(_server: Any, worker: Any) -> None:
    """Forget what only a living process counts."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - after the folder is set

    multiprocess.mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """Leave nothing behind."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
