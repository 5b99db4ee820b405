"""The options of Dask's commands, version 2026.8.0, as their ``--help`` lists them."""

from __future__ import annotations

SCHEDULER = """
    --host --port --interface --protocol --tls-ca-file --tls-cert --tls-key --dashboard-address
    --dashboard --jupyter --show --dashboard-prefix --use-xheaders --pid-file --scheduler-file
    --preload --idle-timeout --version --help
"""
WORKER = """
    --tls-ca-file --tls-cert --tls-key --worker-port --nanny-port --dashboard-address --dashboard
    --listen-address --contact-address --host --interface --protocol --nthreads --nworkers --name
    --memory-limit --nanny --pid-file --local-directory --resources --scheduler-file
    --death-timeout --dashboard-prefix --lifetime --lifetime-stagger --worker-class
    --lifetime-restart --preload --preload-nanny --scheduler-sni --version --help
"""

SSH = """
    --scheduler --scheduler-port --nthreads --nworkers --hostfile --ssh-username --ssh-port
    --ssh-private-key --nohost --log-directory --local-directory --remote-python --memory-limit
    --worker-port --nanny-port --remote-dask-worker --version --help
"""

SPEC = "--spec --spec-file --version --help"

DASKS = {
    "scheduler": SCHEDULER.split(),
    "worker": WORKER.split(),
    "ssh": SSH.split(),
    "spec": SPEC.split(),
}
