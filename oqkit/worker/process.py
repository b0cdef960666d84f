"""placeholder"""
from oqkit.worker.executor import ThreadExecutor as ProcessExecutor  # noqa
